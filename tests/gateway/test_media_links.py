"""Results are opened through us: a link without a key, for an hour, that tells nothing of the provider (issue 6)."""

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx2
import pytest
from cryptography.fernet import Fernet
from django.conf import settings

from tests import factories
from tests.live import Gateway, Providers
from tests.processes import eventually
from tokenhub.gateway.media.follow import follow
from tokenhub.gateway.media.links import Links, PictureLink, VideoLink

BYTES = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
TOLD = {
    "accept-ranges", "cache-control", "connection", "content-disposition", "content-length", "content-range",
    "content-security-policy", "content-type", "date", "referrer-policy", "request-id", "server",
    "transfer-encoding", "x-content-type-options", "x-request-id",
}  # fmt: skip


class Storage(BaseHTTPRequestHandler):
    """A provider's storage: ranges, secrets in its headers, and what goes wrong there, by the path."""

    seen: list[dict[str, str]] = []

    def do_GET(self) -> None:
        self.seen.append({name.lower(): value for name, value in self.headers.items()})
        what = self.path.split("?")[0]
        body, status, kind = BYTES, 200, "image/png"
        if what == "/page":
            body, kind = b"<script>alert(1)</script>", "text/html"
        elif what in ("/404", "/302", "/500"):
            status = int(what[1:])
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("range", ""))
        whole = len(body)
        if asked and int(asked.group(1)) >= whole:
            status, body = 416, b""
        elif asked:
            status, body = 206, body[int(asked.group(1)) : int(asked.group(2)) + 1]
        self.send_response(status)
        self.send_header("content-type", kind)
        claimed = {"/short": whole + 10, "/huge": 10**12}.get(what, len(body))
        self.send_header("content-length", str(claimed))
        self.send_header("accept-ranges", "bytes")
        self.send_header("set-cookie", "upstream=secret")
        self.send_header("x-oss-bucket", "secret-bucket")
        self.send_header("location", "http://127.0.0.1:1/")
        if asked:
            where = "*" if status == 416 else f"{asked.group(1)}-{asked.group(2)}"
            self.send_header("content-range", f"bytes {where}/{whole}")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def storage() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Storage)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def secret(gateway: Gateway) -> str:
    return str(factories.key(factories.organization(credit_nano=10_000_000_000)).secret)


def link_to(gateway: Gateway, secret: str, url: str) -> str:
    """The link of a picture that a provider says is at ``url``."""
    answer = gateway.post(
        secret, "images/generations", {"model": "wan2.6-t2i", "prompt": f"A fox [[url={url}]]"}
    )
    assert answer.status_code == 200
    assert url not in answer.text
    assert quote(url, safe="") not in answer.text
    return str(answer.json()["data"][0]["url"])


def mine(gateway: Gateway) -> Links:
    """What this worker's gateways make and open."""
    return Links(settings.FIELD_ENCRYPTION_KEYS, gateway.url)


def test_a_picture_is_opened_without_a_key_and_without_a_word_of_the_provider(
    gateway: Gateway, secret: str, storage: str
) -> None:
    link = link_to(gateway, secret, f"{storage}/fox.png?signature=secret-signature")
    Storage.seen.clear()

    opened = httpx2.get(link)

    assert link.startswith(f"{gateway.url}/v1/media/")
    assert (opened.status_code, opened.content) == (200, BYTES)
    assert opened.headers["content-type"] == "image/png"
    assert opened.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in opened.headers["content-security-policy"]
    assert set(opened.headers) <= TOLD
    assert "secret" not in str(opened.headers)
    # The storage learns nothing of the client, nor of us.
    assert set(Storage.seen[0]) == {"host", "accept-encoding"}


def test_dashscopes_shape_has_the_same_link(gateway: Gateway, secret: str) -> None:
    content = [{"role": "user", "content": [{"text": "A fox"}]}]
    answer = gateway.post(secret, "images/generations", {"model": "wan2.6-t2i", "input": {"messages": content}}).json()  # fmt: skip

    shown = answer["output"]["choices"][0]["message"]["content"][0]["image"]

    assert shown == answer["data"][0]["url"]
    assert httpx2.get(shown).content.startswith(b"\x89PNG")


def test_a_player_may_ask_for_a_part(gateway: Gateway, secret: str, storage: str) -> None:
    link = link_to(gateway, secret, f"{storage}/fox.png")

    part = httpx2.get(link, headers={"range": "bytes=8-19"})
    beyond = httpx2.get(link, headers={"range": "bytes=999999-1000000"})
    nonsense = httpx2.get(link, headers={"range": "bytes=0-1,3-4"})
    head = httpx2.head(link)

    assert (part.status_code, part.content) == (206, BYTES[8:20])
    assert part.headers["content-range"] == f"bytes 8-19/{len(BYTES)}"
    assert (beyond.status_code, beyond.content) == (416, b"")
    assert (nonsense.status_code, nonsense.content) == (200, BYTES)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(BYTES))


@pytest.mark.parametrize(
    ("path", "status"),
    [("/page", 404), ("/404", 404), ("/302", 404), ("/huge", 404), ("/500", 503)],
)
def test_what_is_no_picture_is_an_error_of_ours(
    gateway: Gateway, secret: str, storage: str, path: str, status: int
) -> None:
    answer = httpx2.get(link_to(gateway, secret, storage + path), follow_redirects=False)

    assert answer.status_code == status
    assert "script" not in answer.text
    assert "location" not in answer.headers
    assert storage not in answer.text


def test_a_picture_that_breaks_off_is_not_passed_for_whole(
    gateway: Gateway, secret: str, storage: str
) -> None:
    link = link_to(gateway, secret, f"{storage}/short")

    with pytest.raises(httpx2.RemoteProtocolError):
        httpx2.get(link)


def test_what_is_no_link_or_old_opens_nothing(gateway: Gateway, monkeypatch: Any) -> None:
    good = mine(gateway).picture("https://example.com/x.png").rpartition("/")[2]
    turned = good[:40] + ("A" if good[40] != "A" else "B") + good[41:]
    stranger = Links([Fernet.generate_key().decode()], gateway.url).picture(
        "https://example.com/x.png"
    )
    monkeypatch.setattr("time.time", lambda: 1_000_000_000.0)
    old = mine(gateway).picture("https://example.com/x.png").rpartition("/")[2]
    monkeypatch.undo()

    for token in (turned, stranger.rpartition("/")[2], old, "", "x", good + "/more", "\u00e9"):
        answer = gateway.http.get(f"{gateway.url}/v1/media/{quote(token)}")
        assert answer.status_code == 404, token
    assert mine(gateway).open(good) == PictureLink("https://example.com/x.png")
    assert mine(gateway).open(old) is None
    assert "example.com" not in good


def test_a_link_is_opened_after_its_key_was_rotated() -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    token = Links([old], "https://x.example").picture("https://example.com/x").rpartition("/")[2]

    assert Links([new, old], "https://x.example").open(token) is not None
    assert Links([new], "https://x.example").open(token) is None


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/x.png", "https://169.254.169.254/latest", "file:///etc/passwd"]
)
def test_a_link_that_leads_inside_is_not_followed(gateway: Gateway, url: str) -> None:
    # A name that led outside when the link was made may lead inside when it is opened.
    assert gateway.http.get(mine(gateway).picture(url)).status_code == 404


def test_a_video_is_opened_by_its_link_and_only_its_owner_is_given_one(
    gateway: Gateway, providers: Providers, secret: str, storage: str
) -> None:
    begun = gateway.post(
        secret, "video/generations", {"model": "wan2.7-t2v", "prompt": "Waves"}
    ).json()

    def polled() -> Any:
        follow()
        return gateway.get(secret, f"video/tasks/{begun['id']}").json()

    done = eventually(lambda: (now := polled())["status"] == "succeeded" and now, within_s=30)
    link = done["output"]["video_url"]
    opened = httpx2.get(link)
    by_key = gateway.get(secret, f"videos/{begun['id']}/content")

    assert providers.url not in str(done)
    assert (opened.status_code, opened.headers["content-type"]) == (200, "video/mp4")
    assert b"ftyp" in opened.content
    assert (by_key.status_code, by_key.content) == (200, opened.content)
    assert set(opened.headers) <= TOLD
    found = mine(gateway).open(link.rpartition("/")[2])
    assert isinstance(found, VideoLink)
    # A link with another organization in it cannot be made; if it could, it would open nothing.
    foreign = mine(gateway).video(found.task, uuid4())
    assert gateway.http.get(foreign).status_code == 404
