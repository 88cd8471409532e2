"""Pictures of pictures: a form is read as it arrives, bounded, handed on, and leaves nothing behind."""

import os
import socket
from io import BytesIO
from typing import Any

import openai
import pytest

from billing.audit import audit
from billing.models import Usage
from tests import factories
from tests.live import Gateway, marker
from tests.processes import Server, eventually
from tokenhub.gateway.media.forms import MAX_FILE_BYTES, MAX_PARTS, MAX_UPLOAD_BYTES

CREDIT = 10_000_000_000
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
JPEG = b"\xff\xd8\xff\xe0" + bytes(64)
FIELDS = {"model": "gpt-image-2", "prompt": "Give the fox a hat"}


@pytest.fixture
def secret(gateway: Gateway) -> str:
    return str(factories.key(factories.organization(credit_nano=CREDIT)).secret)


def edit(gateway: Gateway, secret: str, fields: dict[str, str], files: Any) -> Any:
    return gateway.http.post(
        f"{gateway.url}/v1/images/edits",
        headers={"authorization": f"Bearer {secret}"},
        data=fields,
        files=files,
    )


def healthy(gateway: Gateway, secret: str, provider: str) -> None:
    """Successes make up for the failures that other tests asked for."""

    def first() -> bool:
        body = {**FIELDS, "model": f"{provider}/gpt-image-2"}
        gateway.post(secret, "images/generations", body)
        answer = gateway.post(
            secret, "images/generations", {**FIELDS, "provider": {"order": [provider]}}
        )
        return answer.headers.get("x-tokenhub-provider") == provider

    eventually(first, within_s=20, what=f"{provider} being well")


def test_a_picture_is_edited_and_charged_by_the_providers_tokens(
    gateway: Gateway, secret: str
) -> None:
    files = [
        ("image[]", ("fox.png", PNG, "image/png")),
        ("image[]", ("hat.jpg", JPEG, "image/jpeg")),
    ]

    response = edit(gateway, secret, {**FIELDS, "n": "2"}, files)

    answer = response.json()
    assert response.status_code == 200, answer
    assert len(answer["data"]) == 2
    usage = Usage.objects.get(id=response.headers["x-request-id"])
    # 18 characters of prompt are 5 tokens; each picture of the simulated provider is 1,056.
    assert usage.units == {"input": 5 + 2 * 1_056, "output": 2 * 1_056}
    model_fee = (5 + 2 * 1_056) * 5_000 + 2 * 1_056 * 30_000
    assert usage.total_nano == model_fee + (model_fee * 300 + 5_000) // 10_000
    assert usage.modality == "image"
    assert audit(usage.organization) == []


def test_a_large_file_reaches_the_provider_whole_and_again_where_the_first_fails(
    gateway: Gateway, secret: str
) -> None:
    healthy(gateway, secret, "openai")
    name = marker()
    content = PNG + os.urandom(5 * 1024 * 1024)
    gateway.providers.fault("openai", "http_error", status=503, contains=name)

    response = edit(
        gateway,
        secret,
        {**FIELDS, "prompt": f"[[id={name}]]", "provider": '{"order": ["openai", "azure"]}'},
        [("image", ("fox.png", content, "image/png"))],
    )

    assert response.status_code == 200, response.text
    assert response.headers["x-tokenhub-provider"] == "azure"
    first, second = gateway.providers.calls(marker=name)
    assert first["bytes_received"] == second["bytes_received"] > len(content)


def test_the_openai_sdk_edits_pictures(gateway: Gateway, secret: str) -> None:
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=secret, max_retries=0)

    answer = client.images.edit(
        model="gpt-image-2",
        prompt="Give the fox a hat",
        image=[("a.png", BytesIO(PNG), "image/png"), ("b.png", BytesIO(PNG), "image/png")],
        mask=("mask.png", BytesIO(PNG), "image/png"),
        n=1,
        size="1024x1024",
    )

    assert answer.data is not None
    assert answer.data[0].b64_json


@pytest.mark.parametrize(
    ("fields", "files", "status", "param"),
    [
        (FIELDS, [("image", ("a.pdf", b"%PDF-1.7", "application/pdf"))], 415, "image"),
        (FIELDS, [("image", ("a.png", b"<svg onload=x>", "image/png"))], 415, "image"),
        (FIELDS, [("image", ("a.svg", PNG, "image/svg+xml"))], 415, "image"),
        (FIELDS, [("mask", ("a.png", PNG, "image/png"))], 400, "image"),
        (FIELDS, [("other", ("a.png", PNG, "image/png"))], 400, "image"),
        (FIELDS, [("image[]", ("a.png", PNG, "image/png"))] * 17, 400, "image"),
        (FIELDS, [("image", ("a.png", PNG, "image/png"))] + [("mask", ("m.png", PNG, "image/png"))] * 2, 400, "image"),
        ({"model": "gpt-image-2"}, [("image", ("a.png", PNG, "image/png"))], 400, "prompt"),
        ({"prompt": "x"}, [("image", ("a.png", PNG, "image/png"))], 400, "model"),
        ({**FIELDS, "n": "two"}, [("image", ("a.png", PNG, "image/png"))], 400, "n"),
        ({**FIELDS, "n": "²"}, [("image", ("a.png", PNG, "image/png"))], 400, "n"),
        ({**FIELDS, "n": "--1"}, [("image", ("a.png", PNG, "image/png"))], 400, "n"),
        ({**FIELDS, "provider": "{"}, [("image", ("a.png", PNG, "image/png"))], 400, "provider"),
        ({**FIELDS, "stream": "true"}, [("image", ("a.png", PNG, "image/png"))], 400, "stream"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(
    gateway: Gateway, secret: str, fields: dict[str, str], files: Any, status: int, param: str
) -> None:
    response = edit(gateway, secret, fields, files)

    assert response.status_code == status, response.text
    assert response.json()["error"]["param"] == param


@pytest.mark.parametrize("odd", ["²", "--5", "007", "٣"])
def test_a_number_that_is_none_goes_on_as_text(gateway: Gateway, secret: str, odd: str) -> None:
    files = [("image", ("a.png", PNG, "image/png"))]

    assert edit(gateway, secret, {**FIELDS, "output_compression": odd}, files).status_code == 200


def test_what_is_no_form_is_refused(gateway: Gateway, secret: str) -> None:
    assert gateway.post(secret, "images/edits", FIELDS).status_code == 415
    for body, status in [(b"", 400), (b"no boundary here", 400), (b"--b\r\n\r\nx\r\n--b", 400)]:
        response = gateway.http.post(
            f"{gateway.url}/v1/images/edits",
            headers={
                "authorization": f"Bearer {secret}",
                "content-type": "multipart/form-data; boundary=b",
            },
            content=body,
        )
        assert response.status_code == status


def test_a_form_has_bounds(gateway: Gateway, secret: str) -> None:
    image = ("image", ("a.png", PNG, "image/png"))
    one = edit(
        gateway, secret, FIELDS, [("image", ("a.png", PNG + bytes(MAX_FILE_BYTES), "image/png"))]
    )
    many = edit(gateway, secret, {**FIELDS, **{f"f{n}": "x" for n in range(MAX_PARTS)}}, [image])
    wide = edit(gateway, secret, {**FIELDS, "user": "x" * 200_000}, [image])
    odd = edit(gateway, secret, {**FIELDS, 'a"b': "x"}, [image])

    assert (one.status_code, one.json()["error"]["code"]) == (413, "request_too_large")
    assert (many.status_code, wide.status_code, odd.status_code) == (400, 413, 400)


def test_a_model_that_cannot_edit_is_outside(gateway: Gateway, secret: str) -> None:
    response = edit(
        gateway,
        secret,
        {**FIELDS, "model": "flux-1.1-pro"},
        [("image", ("a.png", PNG, "image/png"))],
    )

    assert response.status_code == 403
    assert response.json()["error"]["excluded"][0]["rule"] == "capability_missing"


def _upload_head(secret: str, length: int) -> bytes:
    return (
        f"POST /v1/images/edits HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}\r\n"
        f"content-type: multipart/form-data; boundary=b\r\ncontent-length: {length}\r\n\r\n"
        '--b\r\ncontent-disposition: form-data; name="image"; filename="a"\r\n'
        "content-type: image/png\r\n\r\n"
    ).encode()


def _temporary_files(server: Server) -> int:
    """Files without a name that a process holds open."""
    assert server.process is not None
    place = f"/proc/{server.process.pid}/fd"
    targets = []
    for number in os.listdir(place):
        try:
            targets.append(os.readlink(f"{place}/{number}"))
        except FileNotFoundError:
            continue
    return sum("(deleted)" in target or "/tmp/" in target for target in targets)


def test_a_client_that_leaves_in_mid_upload_leaves_no_file(
    gateway: Gateway, shared_gateway: Server, secret: str
) -> None:
    before = _temporary_files(shared_gateway)
    connections = []
    for _ in range(5):
        connection = socket.create_connection(("127.0.0.1", shared_gateway.port))
        connection.sendall(_upload_head(secret, 10 * 1024 * 1024) + PNG + bytes(3 * 1024 * 1024))
        connections.append(connection)
    eventually(lambda: _temporary_files(shared_gateway) >= before + 5, what="files under way")

    for connection in connections:
        connection.close()

    eventually(lambda: _temporary_files(shared_gateway) == before, what="files gone")


def test_an_endless_upload_is_cut(gateway: Gateway, shared_gateway: Server, secret: str) -> None:
    connection = socket.create_connection(("127.0.0.1", shared_gateway.port), timeout=20)
    connection.sendall(_upload_head(secret, 10**12) + PNG)
    sent = 0
    try:
        while sent < 4 * MAX_UPLOAD_BYTES:
            sent += connection.send(bytes(1024 * 1024))
    except (BrokenPipeError, ConnectionResetError):
        assert sent < 2 * MAX_UPLOAD_BYTES
    else:
        raise AssertionError("it took everything")
    finally:
        connection.close()
