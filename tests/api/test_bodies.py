"""What a body is and is not: read whole however it arrives, never unpacked, never ambiguous, answered in measure."""

import asyncio
import gzip
import json
from typing import Any

import pytest

from routing.models import Preferences
from tests import factories
from tests.api.program import Program, problem
from tokenhub.asgi import Application


def post(program: Program, raw: bytes, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return program.client.post(
        "/api/v1/keys/", raw, content_type="application/json",
        headers={"Authorization": f"Bearer {program.secret}", **named},
    )  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize("coding", ["gzip", "GZIP", "br", "deflate", "identity, gzip"])
def test_a_compressed_body_is_refused_as_such(program: Program, coding: str) -> None:
    answer = post(program, gzip.compress(b'{"name": "k"}'), Content_Encoding=coding)

    found = problem(answer, 415, "unsupported_media_type")
    assert found["detail"] == "Send the body without compression."
    assert answer["accept-encoding"] == "identity"


@pytest.mark.django_db
@pytest.mark.parametrize("coding", ["identity", " Identity "])
def test_a_body_that_says_it_is_not_compressed_is_taken(program: Program, coding: str) -> None:
    assert post(program, b'{"name": "k"}', Content_Encoding=coding).status_code == 201


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "name"),
    [('{"name": "a", "name": "b"}', "name"), ('{"name": "a", "name": "a"}', "name"),
     ('{"name": "a", "budget": {"amount": "1.00", "amount": "9.00", "period": "day"}}', "amount"),
     ('{"name": "a", "\\u006eame": "b"}', "name")],
)  # fmt: skip
def test_a_field_that_is_there_twice_is_refused(program: Program, body: str, name: str) -> None:
    found = problem(post(program, body.encode()), 400, "invalid_request")

    assert name in found["detail"]
    assert "twice" in found["detail"]


@pytest.mark.django_db
@pytest.mark.parametrize("number", ["1e400", "-1e400", "Infinity", "9" * 5_000])
def test_a_number_beyond_all_numbers_is_refused(program: Program, number: str) -> None:
    problem(post(program, f'{{"name": "a", "rpm": {number}}}'.encode()), 400, "invalid_request")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "body",
    [{"allowed_models": [1] * 300_000}, {"scopes": ["x"] * 150_000}, {"kind": "x" * 900_000},
     {"budget": {"amount": "1.00", "period": "x" * 900_000}}, {"ip_allowlist": ["x"] * 150_000},
     {"scopes": [["x" * 900_000]]}, {f"unknown{number}": 1 for number in range(50_000)}],
    ids=lambda body: next(iter(body)),
)  # fmt: skip
def test_a_refusal_is_not_many_times_the_size_of_what_was_sent(
    program: Program, body: dict[str, Any]
) -> None:
    answer = program.post("keys/", {"name": "k", **body})

    found = problem(answer, 400, "validation_failed")
    assert found["errors"][0]["field"]
    assert len(answer.content) < 10_000


@pytest.mark.django_db
def test_as_many_errors_are_named_as_a_person_reads(program: Program) -> None:
    answer = program.post("keys/", {"name": "k", "allowed_models": [1] * 500})

    assert len(problem(answer, 400, "validation_failed")["errors"]) == 100


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["preferences/", "budgets/"])
def test_a_replacement_by_nothing_is_a_mistake(
    catalogue: None, program: Program, path: str
) -> None:
    """Without a body everything would be gone; whoever wants that says so."""
    program.patch("preferences/", {"strategy": "price"})

    problem(program.call("PUT", path), 400, "invalid_request")
    assert Preferences.objects.get(organization=program.tenant).strategy == "price"
    assert program.put(path, {}).status_code == 200


@pytest.mark.django_db
def test_another_format_is_told_what_is_taken(program: Program) -> None:
    answer = program.client.post(
        "/api/v1/keys/", "name: k", content_type="application/yaml",
        headers={"Authorization": f"Bearer {program.secret}"},
    )  # fmt: skip

    found = problem(answer, 415, "unsupported_media_type")
    assert "application/json" in found["detail"]


def over_asgi(method: str, path: str, headers: dict[str, str], pieces: list[bytes]) -> Any:
    """The answer of the server's own application to a body in pieces; its status, headers and JSON."""
    sent: list[Any] = []
    waiting = list(pieces)

    async def receive() -> dict[str, Any]:
        if not waiting:
            await asyncio.Event().wait()  # who asked waits for the answer
        body = waiting.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(waiting)}

    async def send(message: Any) -> None:
        sent.append(message)

    named = {"host": "testserver", "content-type": "application/json", **headers}
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "path": path, "raw_path": path.encode(),
        "query_string": b"", "root_path": "", "scheme": "http", "client": ("127.0.0.1", 1), "server": ("testserver", 80),
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
    }  # fmt: skip
    asyncio.run(Application("web")(scope, receive, send))  # type: ignore[arg-type]
    found = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    body = b"".join(message["body"] for message in sent[1:])
    return sent[0]["status"], found, json.loads(body)


def test_a_body_in_chunks_is_read_like_any_other(committed: None) -> None:
    """REST framework takes one without a length for none: a change would go unheeded, with a 200."""
    program = Program.of(factories.organization())
    headers = {"authorization": f"Bearer {program.secret}", "transfer-encoding": "chunked"}

    def patch(*pieces: bytes) -> Any:
        return over_asgi("PATCH", "/api/v1/organization/", headers, list(pieces))

    status, _, renamed = patch(b'{"na', b'me": "Chunky"}')
    assert (status, renamed["name"]) == (200, "Chunky")
    status, _, found = patch(b'{"nonsense": 1}')
    assert (status, found["errors"][0]["code"]) == (400, "unknown_field")
    status, _, found = patch(b'{"name": "', b"x" * 1_100_000, b'"}')
    assert (status, found["code"]) == (413, "request_too_large")


@pytest.mark.parametrize(
    "length", [{"transfer-encoding": "chunked"}, {"content-length": "99999999"}]
)
def test_a_body_that_the_server_does_not_read_to_its_end_is_a_problem_too(
    length: dict[str, str],
) -> None:
    pieces = [b"x" * 1_048_576] * 8

    status, headers, found = over_asgi("POST", "/api/v1/keys/", length, pieces)

    assert (status, headers["content-type"]) == (413, "application/problem+json")
    assert (found["code"], found["instance"]) == ("request_too_large", "/api/v1/keys/")
    assert found["request_id"] == headers["x-request-id"]
    assert headers["connection"] == "close"
