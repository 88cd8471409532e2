"""What a page is sent is bounded before anything of it is kept."""

import asyncio
import gzip
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from tokenhub.asgi import Application

MIB = 1024 * 1024


def send(headers: dict[bytes, bytes], pieces: int) -> tuple[int, int]:
    """POST pieces of a megabyte to the console's process; the status, and how many it took."""
    taken = 0
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 1
        if taken > pieces:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": b"x" * MIB, "more_body": taken < pieces}

    async def answer(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "path": "/contact/", "raw_path": b"/contact/",
        "query_string": b"", "root_path": "", "scheme": "http", "client": ("127.0.0.1", 1), "server": ("testserver", 80),
        "headers": [(b"host", b"testserver"), *headers.items()],
    }  # fmt: skip
    asyncio.run(Application("web")(scope, receive, answer))  # type: ignore[arg-type]
    assert sent[0]["type"] == "http.response.start"
    return int(sent[0]["status"]), taken


def test_a_body_without_end_is_cut_off() -> None:
    status, taken = send({b"transfer-encoding": b"chunked"}, 1_000)

    assert status == 413
    assert taken <= settings.WEB_MAX_BODY_BYTES // MIB + 1


@pytest.mark.parametrize("length", [b"99999999999", b"-1", b"x", b"1e9"])
def test_a_length_that_is_too_large_or_none_is_refused_at_once(length: bytes) -> None:
    status, taken = send({b"content-length": length}, 1_000)

    assert status == 413
    assert taken <= 1


@pytest.mark.django_db
def test_a_form_of_a_thousand_fields_or_a_megabyte_is_refused(client: Client) -> None:
    client.raise_request_exception = False

    many = client.post("/contact/", {f"f{number}": "x" for number in range(1_100)})
    large = client.post("/contact/", "a=" + "x" * MIB, content_type="application/x-www-form-urlencoded")  # fmt: skip

    assert (many.status_code, large.status_code) == (400, 400)


@pytest.mark.django_db
def test_a_compressed_body_is_never_unpacked(client: Client) -> None:
    bomb = gzip.compress(b"message=" + b"x" * 20 * MIB)

    answer = client.post(
        "/contact/", bomb, content_type="application/x-www-form-urlencoded", headers={"content-encoding": "gzip"}
    )  # fmt: skip

    assert answer.status_code == 422
    assert b"xxxxxxxx" not in answer.content
