"""Every row of the interface's table of routes: its methods and no other; the status, shape and headers of each."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from accounts.models import Organization
from routing.seed.load import load_demo_catalogue
from tests import factories
from tests.api.program import Program, problem
from tests.live import Stripe

pytestmark = pytest.mark.django_db

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
PAGE = {"data", "has_more", "next_cursor"}
KEY = {
    "id", "name", "kind", "prefix", "last4", "scopes", "allowed_models", "allowed_providers", "allowed_regions",
    "ip_allowlist", "rpm", "budget", "expires_at", "created_at", "last_used_at", "revoked_at",
}  # fmt: skip
PREFERENCES = {
    "allowed_regions", "allowed_providers", "denied_providers", "allowed_models", "denied_models", "require", "strategy",
}  # fmt: skip
REQUEST = {
    "id", "created_at", "status", "billed", "error", "key", "dialect", "modality", "model_requested", "model", "provider",
    "region", "stream", "usage", "lines", "model_fee", "service_fee", "service_fee_bps", "total", "price_version",
    "attempts", "routing", "latency_ms", "first_token_ms", "session_id",
}  # fmt: skip
EXPLANATION = {"model", "candidates", "excluded", "policy_version"}
TRANSACTION = {"id", "created_at", "kind", "amount", "balance_after", "reference", "description"}
TOP_UP = {"id", "status", "amount", "fee", "checkout_url"}
INVOICE = {
    "number", "period_start", "period_end", "status", "lines", "model_fees", "service_fees", "total", "pdf_url",
}  # fmt: skip
MEMBER = {"id", "email", "role"}
INVITATION = {"id", "email", "role", "status", "expires_at"}
MONEY = re.compile(r"-?\d+\.\d{2,9}")
IS_MONEY = {
    "balance", "on_hold", "available", "amount", "balance_after", "fee", "model_fee", "service_fee", "total",
    "model_fees", "service_fees",
}  # fmt: skip
IDS = re.compile(
    r"(org|key|req|task|inv|top|txn|mem|invite|wh|evt|aud|dlv)_[0-9a-z_]+|INV-.+", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Row:
    """A route, what it can be asked for, and what each method is sent and answers with."""

    path: str
    methods: dict[str, tuple[int, set[str]]]
    fill: Callable[[Organization], str] = lambda _: ""
    bodies: dict[str, dict[str, Any]] = field(default_factory=dict)


def _member(tenant: Organization) -> str:
    return f"mem_{factories.membership(tenant).pk}"


ROWS = [
    Row("me/", {"GET": (200, {"kind", "scopes", "limits", "plan"})}),
    Row("organization/", {"GET": (200, {"id", "name"}), "PATCH": (200, {"id", "name"})},
        bodies={"PATCH": {"name": "Renamed"}}),
    Row("keys/", {"GET": (200, PAGE), "POST": (201, KEY | {"secret"})}, bodies={"POST": {"name": "backend"}}),
    Row("keys/{}/", {"GET": (200, KEY), "PATCH": (200, KEY), "DELETE": (200, KEY)},
        lambda tenant: factories.key(tenant).key.id, {"PATCH": {"rpm": 10}}),
    Row("keys/{}/rotate/", {"POST": (200, KEY | {"secret"})}, lambda tenant: factories.key(tenant).key.id),
    Row("preferences/", {"GET": (200, PREFERENCES), "PUT": (200, PREFERENCES), "PATCH": (200, PREFERENCES)},
        bodies={"PUT": {"allowed_regions": ["eu"]}, "PATCH": {"strategy": "price"}}),
    *(Row(f"{name}/", {"GET": (200, PAGE)}) for name in ("models", "providers", "plans", "announcements")),
    Row("routes/explain/", {"POST": (200, EXPLANATION)}, bodies={"POST": {"model": "deepseek-v3.2"}}),
    Row("requests/", {"GET": (200, PAGE)}),
    Row("requests/{}/", {"GET": (200, REQUEST)}, lambda tenant: factories.usage(tenant).id),
    Row("usage/", {"GET": (200, {"data"})}),
    Row("balance/", {"GET": (200, {"currency", "balance", "on_hold", "available"})}),
    Row("transactions/", {"GET": (200, PAGE)}),
    Row("top-ups/", {"GET": (200, PAGE), "POST": (201, TOP_UP)}, bodies={"POST": {"amount": "25.00"}}),
    Row("top-ups/{}/", {"GET": (200, TOP_UP)}, lambda tenant: factories.top_up(tenant).id),
    Row("invoices/", {"GET": (200, PAGE)}),
    Row("invoices/{}/", {"GET": (200, INVOICE)}, lambda tenant: factories.invoice(tenant).number),
    Row("invoices/{}.pdf", {"GET": (200, set())}, lambda tenant: factories.invoice(tenant).number),
    Row("subscription/", {"GET": (200, {"plan"}), "POST": (200, {"plan", "checkout_url"})}, bodies={"POST": {"plan": "pro"}}),
    Row("members/", {"GET": (200, PAGE), "POST": (201, INVITATION)},
        bodies={"POST": {"email": "ben@example.com", "role": "viewer"}}),
    Row("members/{}/", {"GET": (200, MEMBER), "PATCH": (200, MEMBER), "DELETE": (204, set())}, _member,
        {"PATCH": {"role": "developer"}}),
    Row("invitations/", {"GET": (200, PAGE), "POST": (201, INVITATION)},
        bodies={"POST": {"email": "ben@example.com", "role": "viewer"}}),
    Row("invitations/{}/", {"GET": (200, INVITATION), "PATCH": (200, INVITATION), "DELETE": (200, INVITATION)},
        lambda tenant: factories.invitation(tenant).id, {"PATCH": {"role": "developer"}}),
    Row("audit-events/", {"GET": (200, PAGE)}),
    Row("contact/", {"POST": (201, {"reference"})},
        bodies={"POST": {"topic": "compliance", "name": "Ann", "email": "ann@example.com", "message": "Call us."}}),
]  # fmt: skip
rows = pytest.mark.parametrize("row", [pytest.param(row, id=row.path) for row in ROWS])
calls = pytest.mark.parametrize(
    ("row", "method"),
    [
        pytest.param(row, method, id=f"{method}-{row.path}")
        for row in ROWS
        for method in row.methods
    ],
)
ITEMS = {
    "keys/": (KEY, factories.key),
    "requests/": (REQUEST, factories.usage),
    "transactions/": (TRANSACTION, lambda tenant: factories.credit(tenant, 10**9)),
    "top-ups/": (TOP_UP, factories.top_up),
    "invitations/": (INVITATION, factories.invitation),
    "members/": (MEMBER, factories.membership),
}


@pytest.fixture
def program(stripe: Stripe, settings: Any) -> Program:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    return Program.of(factories.organization(plan="starter"))


def ask(program: Program, row: Row, method: str, **headers: str) -> Any:
    where = row.path.format(row.fill(program.tenant))
    body = row.bodies.get(method, {} if method == "POST" else None)
    return program.call(method, where, body, **headers)


@rows
def test_a_route_has_its_methods_and_no_other(program: Program, row: Row) -> None:
    for method in METHODS:
        answer = program.call(method, row.path.format(row.fill(program.tenant)), {})

        if method in row.methods:
            assert answer.status_code not in (404, 405, 500), (method, answer.content)
        else:
            problem(answer, 405, "method_not_allowed")
            allowed = set(answer["allow"].replace(" ", "").split(","))
            assert allowed & set(METHODS) == set(row.methods)


@calls
def test_an_answer_has_its_status_shape_and_headers(
    program: Program, row: Row, method: str
) -> None:
    if row.path in ("routes/explain/", "preferences/"):
        load_demo_catalogue("http://127.0.0.1:9")

    answer = ask(program, row, method)

    status, members = row.methods[method]
    assert answer.status_code == status, answer.content
    assert answer["x-request-id"].startswith("req_")
    assert answer["ratelimit"]
    assert answer["cache-control"] == "private, no-store"
    if not members:
        return
    assert answer["content-type"] == "application/json"
    body = answer.json()
    assert set(body) >= members
    if "secret" not in members:
        assert body.get("secret") is None
    if members is PAGE:
        assert isinstance(body["data"], list)
        assert body["has_more"] is (body["next_cursor"] is not None)
    obey(body)


def obey(value: Any, name: str = "") -> None:
    """Snake case; instants in UTC; money as decimal strings; prefixed ids."""
    if isinstance(value, list):
        for each in value:
            obey(each, name)
    elif isinstance(value, dict):
        for key, each in value.items():
            assert re.fullmatch(r"[a-z0-9_.:/-]+", key), key
            obey(each, key)
    elif isinstance(value, str):
        if name.endswith("_at"):
            assert datetime.fromisoformat(value).utcoffset() == timedelta(0)
        if name in IS_MONEY:
            assert MONEY.fullmatch(value), (name, value)
    elif name in IS_MONEY:
        assert type(value) not in (int, float), f"{name} is {value!r}: money is a string"


@pytest.mark.parametrize("path", ITEMS)
def test_a_list_is_had_a_page_at_a_time(program: Program, path: str) -> None:
    members, make = ITEMS[path]
    for _ in range(3):
        make(program.tenant)
    whole = program.get(path).json()["data"]

    first = program.get(f"{path}?limit=2")
    page = first.json()
    rest = program.get(f"{path}?limit=100&cursor={page['next_cursor']}").json()

    assert (len(page["data"]), page["has_more"], rest["has_more"]) == (2, True, False)
    assert [each["id"] for each in page["data"] + rest["data"]] == [each["id"] for each in whole]
    assert 'rel="next"' in first["link"]
    assert all(set(each) >= members and IDS.fullmatch(each["id"]) for each in whole)
    for each in whole:
        obey(each)
    for limit in ("0", "101", "-1", "x"):
        problem(program.get(f"{path}?limit={limit}"), 400, "validation_failed")
    problem(program.get(f"{path}?cursor=nonsense"), 400, "invalid_cursor")


POSTS = [pytest.param(row, id=row.path) for row in ROWS if "POST" in row.methods]


@pytest.mark.parametrize("row", POSTS)
def test_every_post_is_done_once_for_its_idempotency_key(program: Program, row: Row) -> None:
    if row.path == "routes/explain/":
        load_demo_catalogue("http://127.0.0.1:9")
    where = row.path.format(row.fill(program.tenant))
    body = row.bodies.get("POST", {})

    first = program.post(where, body, Idempotency_Key="once")
    again = program.post(where, body, Idempotency_Key="once")

    assert first.status_code == row.methods["POST"][0], first.content
    assert again["idempotent-replayed"] == "true"
    if "secret" in row.methods["POST"][1]:
        problem(again, 409, "secret_not_replayable")
    else:
        assert (again.status_code, again.content) == (first.status_code, first.content)
    other = program.post(where, {**body, "name": "another"}, Idempotency_Key="once")
    problem(other, 422, "idempotency_key_reused")


@calls
def test_what_is_written_with_an_unknown_field_is_a_400_that_names_it(
    program: Program, row: Row, method: str
) -> None:
    if method in ("GET", "DELETE"):
        return
    where = row.path.format(row.fill(program.tenant))

    found = problem(program.call(method, where, {"nonsense": 1}), 400, "validation_failed")

    assert {"nonsense"} <= {each["field"] for each in found["errors"]}
    assert all(set(each) == {"field", "code", "message"} for each in found["errors"])


@pytest.mark.parametrize("path", ["nothing/", "keys/key_0/", "keys/key_0/rotate/x/", "models/x/"])
def test_what_is_not_there_is_a_problem_too(program: Program, path: str) -> None:
    problem(program.get(path), 404, "not_found")


def test_usage_is_grouped_and_had_as_csv(program: Program) -> None:
    for group in ("day", "model", "provider", "key"):
        assert (
            program.get(f"usage/?group_by={group}&from=2026-01-01&to=2026-12-31").status_code == 200
        )
    csv = program.get("usage/", Accept="text/csv")
    assert (csv.status_code, csv["content-type"].partition(";")[0]) == (200, "text/csv")


def test_the_document_is_openapi_3_1_and_can_be_browsed(program: Program) -> None:
    assert program.get("schema/").json()["openapi"].startswith("3.1")
    assert program.client.get("/api/docs/").status_code == 200
