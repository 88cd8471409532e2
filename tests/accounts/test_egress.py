"""Requests to customers' addresses reach the public internet only, whatever the URL or DNS says."""

import socket
import threading
from typing import Any

import pytest

from accounts import egress
from accounts.egress import Refused, Unreachable
from tests.processes import free_port
from tests.receiver import receiver


def resolves_to(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """DNS that answers with each list in turn, the last for ever; returns what was asked."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *args: Any, **more: Any) -> Any:
        if host.replace(".", "").isdigit() or ":" in host:
            return real(host, port, *args, **more)
        found = answers[min(len(asked), len(answers) - 1)]
        asked.append(host)
        return [entry for address in found for entry in real(address, port, *args, **more)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "[::1]", "0.0.0.0",
        "[::]", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1",
        "255.255.255.255", "[fe80::1]", "[fc00::1]", "[fec0::1]", "[ff02::1]", "[::ffff:127.0.0.1]",
        "[::ffff:a9fe:a9fe]", "[2002:7f00:1::]", "[64:ff9b::7f00:1]", "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
        "[2001:db8::1]", "198.18.0.1", "192.0.2.1",
    ],
)  # fmt: skip
def test_an_address_that_is_not_public_is_refused(settings: Any, host: str) -> None:
    settings.EGRESS_ALLOW_LOOPBACK = False

    with pytest.raises(Refused):
        egress.check_url(f"https://{host}/hook")


@pytest.mark.parametrize("host", ["8.8.8.8", "[2606:4700:4700::1111]", "[64:ff9b::808:808]"])
def test_a_public_address_is_fine(settings: Any, host: str) -> None:
    settings.EGRESS_ALLOW_LOOPBACK = False

    egress.check_url(f"https://{host}/hook")


@pytest.mark.parametrize(
    "url",
    [
        "", "hook", "ftp://8.8.8.8/", "file:///etc/passwd", "gopher://8.8.8.8", "https://", "https:///path",
        "http://8.8.8.8/", "https://me:secret@8.8.8.8/", "https://8.8.8.8:22/", "https://8.8.8.8:99999/",
        "https://8.8.8.8:x/", "https://8.8.8.8/\r\nhost: x", "https://8.8.8.8/ x", "https://é.example/",
        "https://8.8.8.8/" + "x" * 500, "https://[::1", "https://no-such-host.invalid/",
    ],
)  # fmt: skip
def test_what_is_not_an_https_url_is_refused(settings: Any, url: str) -> None:
    settings.EGRESS_ALLOW_LOOPBACK = False

    with pytest.raises(Refused):
        egress.check_url(url)


def test_one_private_address_among_public_ones_refuses_the_name(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EGRESS_ALLOW_LOOPBACK = False
    resolves_to(monkeypatch, ["8.8.8.8", "10.0.0.1"])

    with pytest.raises(Refused, match=r"10\.0\.0\.1"):
        egress.check_url("https://hooks.example/")


def test_a_name_that_turns_private_after_it_was_saved_is_not_connected_to(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EGRESS_ALLOW_LOOPBACK = False
    resolves_to(monkeypatch, ["8.8.8.8"], ["127.0.0.1"])
    with receiver() as target:
        url = target.url.replace("http://127.0.0.1", "https://hooks.example")
        egress.check_url(url)

        with pytest.raises(Refused):
            egress.post(url, b"{}", {}, timeout_s=2)

        assert target.got == []


def test_the_connection_goes_to_the_address_that_was_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = resolves_to(monkeypatch, ["127.0.0.1"], ["127.0.0.2"])
    with receiver() as target:
        url = target.url.replace("127.0.0.1", "hooks.example")

        answer = egress.post(url, b"{}", {"x-mine": "1"}, timeout_s=5)

        assert (answer.status, answer.text) == (200, "thanks")
        assert asked == ["hooks.example"]
        assert target.got[0].headers["host"].startswith("hooks.example:")
        assert target.got[0].headers["x-mine"] == "1"


def test_a_redirect_is_an_answer_and_not_followed() -> None:
    with receiver() as target:
        target.answers = [302]
        target.headers = {"location": target.url + "/elsewhere"}

        answer = egress.post(target.url, b"{}", {}, timeout_s=5)

        assert answer.status == 302
        assert [got.path for got in target.got] == ["/hook"]


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as target:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

        assert egress.post(target.url, b"{}", {}, timeout_s=5).status == 200


def test_an_answer_that_drips_without_end_is_cut_off() -> None:
    with receiver() as target:
        target.stall = threading.Event()

        with pytest.raises(Unreachable, match="No answer within"):
            egress.post(target.url, b"{}", {}, timeout_s=1)


def test_a_closed_port_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="refused"):
        egress.post(f"http://127.0.0.1:{free_port()}/", b"{}", {}, timeout_s=5)


def test_a_server_without_tls_is_unreachable_by_https() -> None:
    with receiver() as target, pytest.raises(Unreachable):
        egress.post(target.url.replace("http", "https", 1), b"{}", {}, timeout_s=5)
