"""Whatever goes wrong below ``/api/v1`` is a problem in JSON, with a request id, and never a page."""

import json
from typing import Any

import pytest
import structlog
from django.db import OperationalError

from billing.plans import terms_of
from tests.api.program import Program, problem

pytestmark = pytest.mark.django_db


def test_every_answer_names_its_request(program: Program) -> None:
    first, second = program.get("me/"), program.get("me/")

    assert first["x-request-id"].startswith("req_")
    assert first["x-request-id"] != second["x-request-id"]
    assert first["cache-control"] == "private, no-store"


def test_a_clients_own_request_id_is_not_taken_over(program: Program) -> None:
    assert program.get("me/", X_Request_Id="evil\r\n")["x-request-id"].startswith("req_")


@pytest.mark.parametrize(
    "path",
    [
        "nothing/",
        "keys/x/y/",
        "me/extra/",
        "..%2f",
        "keys/key_nonsense/",
        "keys/x.pdf",
        "invoices/.pdf",
        "invoices/x.pdf",
        "me//",
        "/me/",
        "ME/",
    ],
)
def test_what_is_not_there_is_a_problem(program: Program, path: str) -> None:
    problem(program.get(path), 404, "not_found")


def test_a_missing_slash_is_no_mistake(program: Program) -> None:
    assert program.get("me").status_code == 200
    assert program.post("keys", {"name": "one"}).status_code == 201


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "FOO"])
def test_another_method_is_a_problem(program: Program, method: str) -> None:
    answer = program.call(method, "me/")

    problem(answer, 405, "method_not_allowed")
    assert answer["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "body",
    [b"{", b"nonsense", b'{"name": NaN}', b'{"name": "\\ud800"}', b"\xff", b"[" * 100_000, b'{"a":' * 50_000, b"\xef\xbb\xbf{}"],
    ids=["cut", "no json", "nan", "half a pair", "no utf-8", "deep list", "deep object", "bom"],
)  # fmt: skip
def test_what_is_no_json_is_a_problem(program: Program, body: bytes) -> None:
    answer = program.client.post(
        "/api/v1/keys/", body, content_type="application/json",
        headers={"Authorization": f"Bearer {program.secret}"},
    )  # fmt: skip

    problem(answer, 400, "invalid_request")


@pytest.mark.parametrize("body", ["[]", '"text"', "1", "null", "true"])
def test_what_is_no_object_is_a_problem(program: Program, body: str) -> None:
    problem(program.call("POST", "keys/", json.loads(body)), 400, "validation_failed")


def test_a_form_is_no_json(program: Program) -> None:
    answer = program.client.post(
        "/api/v1/keys/", {"name": "x"}, headers={"Authorization": f"Bearer {program.secret}"}
    )

    problem(answer, 415, "unsupported_media_type")


def test_a_huge_body_is_refused(program: Program) -> None:
    problem(program.post("keys/", {"name": "x" * 1_100_000}), 413, "request_too_large")


def test_another_format_is_refused(program: Program) -> None:
    problem(program.get("me/", Accept="text/html"), 406, "not_acceptable")


@pytest.mark.parametrize("path", ["keys/?cursor=%00", "keys/a%00b/", "me/?organization=%00"])
def test_a_nul_is_refused(program: Program, path: str) -> None:
    assert program.get(path).status_code in (400, 404)


@pytest.mark.parametrize(
    "limit", ["0", "101", "-1", "", "1_0", "%D9%A1", "%201", "1.0", "1e1", "9" * 400]
)
def test_a_limit_is_a_number_as_programs_write_it(program: Program, limit: str) -> None:
    found = problem(program.get(f"keys/?limit={limit}"), 400, "validation_failed")

    assert [each["field"] for each in found["errors"]] == ["limit"]
    assert program.get("keys/?limit=1&unknown=x").status_code == 200


def test_each_wrong_field_is_named(program: Program) -> None:
    answer = program.post(
        "keys/", {"rpm": 0, "allowed_models": ["x", {"no": 1}], "expires_at": "soon"}
    )

    found = problem(answer, 400, "validation_failed")
    assert {(each["field"], each["code"]) for each in found["errors"]} == {
        ("name", "required"), ("rpm", "min_value"), ("allowed_models.1", "invalid"),
        ("expires_at", "invalid"),
    }  # fmt: skip


@pytest.mark.parametrize(
    "name", ["organization", "id", "secret", "digest", "created_by", "balance", "né"]
)
def test_an_unknown_field_is_refused(program: Program, name: str) -> None:
    found = problem(program.post("keys/", {"name": "k", name: "x"}), 400, "validation_failed")

    assert [(each["field"], each["code"]) for each in found["errors"]] == [(name, "unknown_field")]


def test_a_rule_of_the_service_names_its_field(program: Program) -> None:
    found = problem(
        program.post("keys/", {"name": "k", "ip_allowlist": ["nowhere"]}), 400, "validation_failed"
    )

    assert found["errors"][0]["field"] == "ip_allowlist"


def test_what_nobody_expected_is_a_problem_without_details(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("the secret inside")

    monkeypatch.setattr("tokenhub.api.resources.me.terms_of", broken)
    program.client.raise_request_exception = False

    answer = program.get("me/")

    problem(answer, 500, "internal_error")
    assert b"secret inside" not in answer.content


def test_a_database_that_is_away_is_said_so(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise OperationalError("host db.internal is away")

    monkeypatch.setattr("tokenhub.api.resources.me.terms_of", away)

    answer = program.get("me/")

    problem(answer, 503, "service_unavailable")
    assert answer["retry-after"] == "2"
    assert b"internal" not in answer.content


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", 0), ("name", True), ("name", ["x"]), ("rpm", "5"), ("rpm", True), ("rpm", 1.5), ("allowed_models", [1])],
)  # fmt: skip
def test_a_value_of_another_type_is_refused(program: Program, field: str, value: Any) -> None:
    answer = program.post("keys/", {"name": "k", field: value})

    assert problem(answer, 400, "validation_failed")["errors"][0]["field"].startswith(field)


def test_the_log_names_a_request_as_its_answer_does(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound: dict[str, Any] = {}

    def noted(tenant: Any) -> Any:
        bound.update(structlog.contextvars.get_contextvars())
        return terms_of(tenant)

    monkeypatch.setattr("tokenhub.api.resources.me.terms_of", noted)

    answer = program.get("me/")

    assert bound["request_id"] == answer["x-request-id"]
    assert bound["organization"] == program.tenant.id
