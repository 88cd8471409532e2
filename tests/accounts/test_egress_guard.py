"""The guard's hostile table, and its two places: an operator's provider, and the gateway's connection (K10)."""

import asyncio
import datetime
import ipaddress
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.test import Client

from accounts import egress
from accounts.egress import Refused, Unreachable, check_url, post, resolve
from routing.models import Endpoint, Provider, Region
from tests import factories
from tests.receiver import receiver
from tokenhub.gateway.upstream import Origin, Pool, UpstreamError

PUBLIC = "93.184.215.14"
Answers = Callable[[str], list[str]]

# Everything that leads inside, or says something else than it means.
INSIDE = [
    "https://127.0.0.1/", "https://127.1/", "https://127.255.255.254/", "https://0.0.0.0/", "https://0/",
    "https://2130706433/", "https://0x7f000001/", "https://0x7f.0.0.1/", "https://0177.0.0.1/", "https://017700000001/",
    "https://127.0.0.1./", "https://00127.0.0.1/", "https://127.0.0x1/", "https://134744072/", "https://0x08080808/",
    "https://localhost/", "https://LOCALHOST/", "https://localhost./", "https://a.localhost/", "https://printer.local/",
    "https://metadata.google.internal/", "https://metadata/", "https://redis/", "https://db.lan/",
    "https://10.0.0.1/", "https://172.16.0.1/", "https://172.31.255.255/", "https://192.168.1.1/", "https://100.64.0.1/",
    "https://169.254.169.254/latest/meta-data/", "https://100.100.100.200/", "https://192.0.0.192/", "https://168.63.129.16/",
    "https://224.0.0.1/", "https://239.255.255.250/", "https://240.0.0.1/", "https://255.255.255.255/", "https://192.88.99.1/",
    "https://192.0.2.1/", "https://198.18.0.1/", "https://203.0.113.7/", "https://198.51.100.1/",
    "https://[::1]/", "https://[::]/", "https://[0:0:0:0:0:0:0:1]/", "https://[fe80::1]/", "https://[fe80::1%25eth0]/",
    "https://[fc00::1]/", "https://[fd00:ec2::254]/", "https://[ff02::1]/", "https://[fec0::1]/", "https://[2001:db8::1]/",
    "https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/", "https://[::127.0.0.1]/",
    "https://[::ffff:0:127.0.0.1]/", "https://[64:ff9b::7f00:1]/", "https://[64:ff9b::10.0.0.1]/", "https://[64:ff9b:1::1]/",
    "https://[2002:7f00:1::]/", "https://[2002:a00:1::]/", "https://[2001:0:4136:e378::1]/",
]  # fmt: skip
CROOKED = [
    "", "api.example.com", "//api.example.com/", "ftp://api.example.com/", "file:///etc/passwd", "gopher://api.example.com/",
    "javascript:alert(1)", "https://", "http://api.example.com/", "https:///path", "https://user@api.example.com/", "https://user:secret@api.example.com/",
    "https://api.example.com@127.0.0.1/", "https://api.example.com\\@127.0.0.1/", "https://127.0.0.1\t.example.com/",
    "https://api.example.com/\r\nX: y", "https://api.example.com /", "https://api.example.com/#127.0.0.1",
    "https://api%2eexample.com/", "https://①②⑦.⓪.⓪.①/", "https://exämple.com/", "https://[api.example.com]/",
    "https://[::1/", "https://api.example.com:0/", "https://api.example.com:22/", "https://api.example.com:25/",
    "https://api.example.com:65536/", "https://api.example.com:x/", "https://-api.example.com/", "https://a..example.com/",
    "https://" + "a" * 64 + ".example.com/", "https://" + "a." * 127 + "com/", "https://api.example.com/" + "a" * 500,
]  # fmt: skip


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Callable[[Answers], None]:
    """Names are answered by the test, and nothing inside is allowed."""
    settings.EGRESS_ALLOW_LOOPBACK = False

    def answer(answers: Answers) -> None:
        def lookup(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
            found = answers(host)
            if not found:
                raise socket.gaierror
            return [
                (socket.AF_INET6 if ":" in address else socket.AF_INET, 1, 6, "", (address, port))
                for address in found
            ]

        monkeypatch.setattr("socket.getaddrinfo", lookup)

    answer(lambda host: [PUBLIC])
    return answer


@pytest.mark.parametrize("url", INSIDE)
def test_what_leads_inside_is_refused_in_every_spelling(names: Any, url: str) -> None:
    with pytest.raises(Refused):
        check_url(url)


@pytest.mark.parametrize("url", CROOKED)
def test_what_is_crooked_is_refused(names: Any, url: str) -> None:
    with pytest.raises(Refused):
        check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com", "https://API.Example.com/v1?a=b", "https://api.example.com:8080/x", "https://xn--exmple-cua.com/",
        "https://api.example.com.:8443/", f"https://{PUBLIC}/v1", "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/v1",
        "https://my_bucket.example.com/", "https://1.example.com/",
    ],
)  # fmt: skip
def test_what_is_on_the_public_internet_is_let_through(names: Any, url: str) -> None:
    check_url(url)


@pytest.mark.parametrize(
    "addresses",
    [["10.0.0.1"], [PUBLIC, "127.0.0.1"], ["::1"], [PUBLIC, "fe80::1%2"], ["::ffff:169.254.169.254"], ["64:ff9b::a00:1"], []],
)  # fmt: skip
def test_a_name_is_as_good_as_the_worst_of_its_addresses(names: Any, addresses: list[str]) -> None:
    names(lambda host: addresses)

    with pytest.raises(Refused):
        check_url("https://api.example.com/")


def test_the_sentence_says_what_is_wrong(names: Any) -> None:
    names(lambda host: ["10.1.2.3"])

    with pytest.raises(Refused, match=r"api\.example\.com is 10\.1\.2\.3: an address of a private"):
        check_url("https://api.example.com/")


def test_simulated_providers_are_reached_where_the_setting_allows_it(settings: Any) -> None:
    settings.EGRESS_ALLOW_LOOPBACK = True

    check_url("http://127.0.0.1:8000/")
    check_url("http://[::1]:8000/")
    assert "127.0.0.1" in resolve("localhost", 8000)
    for url in ("http://10.0.0.1/", "http://2130706433/", "http://[::ffff:127.0.0.1]/"):
        with pytest.raises(Refused):
            check_url(url)


def _certificate(folder: Path, name: str) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "both.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


def test_the_certificate_is_checked_against_the_name_and_not_the_address(
    tmp_path: Path, names: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = _certificate(tmp_path, "hooks.example.com")
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_side.load_cert_chain(pem)
    trusting = ssl.create_default_context(cafile=str(pem))
    monkeypatch.setattr(egress, "_tls", lambda: trusting)
    settings.EGRESS_ALLOW_LOOPBACK = True
    names(lambda host: ["127.0.0.1"])
    with receiver(tls=server_side) as target:
        good = target.url.replace("127.0.0.1", "hooks.example.com")

        assert post(good, b"", {}, timeout_s=5).status == 200
        with pytest.raises(Unreachable, match="certificate"):
            post(good.replace("hooks", "other"), b"", {}, timeout_s=5)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1"])
def test_the_gateway_refuses_at_connect_what_a_name_has_become(names: Any, address: str) -> None:
    names(lambda host: [address])
    pool = Pool(Origin.parse("https://api.example.com/v1"), ssl.create_default_context())

    async def ask() -> None:
        await pool.request(b"", b"", first_byte_timeout_s=1, streaming=False)

    with pytest.raises(UpstreamError, match="refused_address"):
        asyncio.run(ask())


def test_the_gateway_connects_to_the_checked_address_alone(names: Any, settings: Any) -> None:
    asked: list[str] = []

    def once(host: str) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    settings.EGRESS_ALLOW_LOOPBACK = True
    names(once)
    with receiver() as target:
        origin = Origin.parse(target.url.replace("127.0.0.1", "api.example.com"))
        head = f"POST /x HTTP/1.1\r\nhost: {origin.authority}\r\ncontent-length: 0\r\n\r\n"

        async def ask() -> int:
            answer = await Pool(origin, None).request(
                head.encode(), b"", first_byte_timeout_s=5, streaming=False
            )
            async with answer:
                return answer.status

        assert asyncio.run(ask()) == 200
        assert target.got[0].headers["host"] == origin.authority
    # asyncio asks again only to read the address itself.
    assert [host for host in asked if not _is_address(host)] == ["api.example.com"]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://api.example.com/v1", True),
        ("http://169.254.169.254/v1", False),
        ("http://127.0.0.1:6379/", False),
        ("https://user:secret@api.example.com/", False),
    ],
)
def test_an_operator_cannot_save_a_provider_that_leads_inside(
    client: Client, names: Any, url: str, kept: bool
) -> None:
    client.force_login(factories.user(is_staff=True, is_superuser=True))
    region, _ = Region.objects.get_or_create(slug="eu", defaults={"name": "European Union"})
    provider = Provider.objects.create(slug="probe", name="Probe")

    answer = client.post(
        f"/admin/routing/provider/{provider.pk}/change/",
        {
            "slug": "probe", "name": "Probe", "zero_retention": "unknown", "no_training": "unknown", "enabled": "on",
            "endpoints-TOTAL_FORMS": 1, "endpoints-INITIAL_FORMS": 0, "endpoints-0-provider": provider.pk,
            "endpoints-0-region": region.pk, "endpoints-0-dialect": "openai", "endpoints-0-base_url": url,
            "endpoints-0-credential": "sk-x",
        },
    )  # fmt: skip

    assert Endpoint.objects.filter(provider=provider).exists() == kept
    assert answer.status_code == (302 if kept else 200)
