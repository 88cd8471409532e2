"""Keys by program: the secret once, nothing stronger than the key that asks."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.audit import SYSTEM
from accounts.members import remove
from accounts.models import AuditEvent
from keys.budgets import Budget
from keys.models import ApiKey, RetiredSecret
from keys.services import rotate
from tests import factories
from tests.api.program import Program, problem

pytestmark = pytest.mark.django_db

FIELDS = {
    "id", "name", "kind", "prefix", "last4", "scopes", "allowed_models", "allowed_providers",
    "allowed_regions", "ip_allowlist", "rpm", "budget", "created_by", "expires_at", "created_at", "last_used_at",
    "revoked_at",
}  # fmt: skip


def test_a_key_is_made_and_its_secret_shown_once(program: Program) -> None:
    made = program.post("keys/", {"name": "production", "allowed_regions": ["eu"], "rpm": 5}).json()

    assert set(made) >= FIELDS | {"secret"}
    assert made["secret"].startswith("thk_")
    assert (made["allowed_regions"], made["rpm"], made["kind"]) == (["eu"], 5, "inference")
    shown = program.get(f"keys/{made['id']}/")
    assert set(shown.json()) >= FIELDS
    assert "secret" not in shown.json()
    assert made["secret"] not in program.get("keys/").content.decode()
    event = AuditEvent.objects.for_organization(program.tenant).get(target=made["id"])
    assert (event.actor_kind, event.ip_address) == ("key", "127.0.0.1")
    assert made["secret"] not in str(vars(event))


def test_who_answers_for_a_made_key_is_who_made_the_key_that_made_it(program: Program) -> None:
    made = program.post("keys/", {"name": "child"}).json()

    owner = program.tenant.memberships.get().user
    assert made["created_by"] == owner.email


def test_a_management_key_makes_no_management_key(program: Program) -> None:
    answer = program.post("keys/", {"name": "more", "kind": "management", "scopes": ["billing"]})

    problem(answer, 403, "insufficient_scope")
    assert ApiKey.objects.for_organization(program.tenant).count() == 1


def test_a_limited_key_gives_its_limits_on() -> None:
    budget = {"amount": "5.00", "period": "month"}
    limited = Program.of(
        factories.organization(), allowed_regions=["eu", "us"], budget=Budget(5 * 10**9, "month")
    )

    made = limited.post("keys/", {"name": "same"}).json()
    wider = limited.post("keys/", {"name": "more", "allowed_regions": ["eu", "cn"]})

    endless = limited.post("keys/", {"name": "endless", "budget": None})
    richer = limited.patch(f"keys/{made['id']}/", {"budget": {**budget, "amount": "5.01"}})
    limited.delete(f"keys/{made['id']}/")  # which frees its budget
    narrower = limited.post("keys/", {"name": "less", "allowed_regions": ["eu"]}).json()

    assert (made["allowed_regions"], made["budget"]) == (["eu", "us"], budget)
    for refused in (endless, richer):
        assert "5.00 USD a month" in problem(refused, 403, "insufficient_scope")["detail"]
    assert narrower["allowed_regions"] == ["eu"]
    found = problem(wider, 403, "insufficient_scope")
    assert "eu, us" in found["detail"]


def test_a_key_is_revoked_for_good(program: Program) -> None:
    key = factories.key(program.tenant).key

    first = program.delete(f"keys/{key.id}/").json()["revoked_at"]
    again = program.delete(f"keys/{key.id}/").json()["revoked_at"]

    assert first is not None
    assert again == first


def test_pages_hold_still_while_keys_are_made(program: Program) -> None:
    made = [factories.key(program.tenant, name=f"k{number}").key.id for number in range(5)]

    first = program.get("keys/?limit=2").json()
    factories.key(program.tenant, name="in between")
    second = program.get(f"keys/?limit=2&cursor={first['next_cursor']}").json()
    third = program.get(f"keys/?limit=100&cursor={second['next_cursor']}").json()

    seen = [key["id"] for page in (first, second, third) for key in page["data"]]
    assert seen[:5] == made[::-1]
    assert first["has_more"]
    assert third["has_more"] is False
    assert third["next_cursor"] is None


def test_the_next_page_is_linked(program: Program) -> None:
    factories.key(program.tenant)

    answer = program.get("keys/?limit=1")

    assert answer["link"].endswith('; rel="next"')
    assert f"cursor={answer.json()['next_cursor']}" in answer["link"]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "limit=-1"])
def test_a_page_has_at_most_a_hundred(program: Program, query: str) -> None:
    found = problem(program.get(f"keys/?{query}"), 400, "validation_failed")

    assert found["errors"][0]["field"] == "limit"


@pytest.mark.parametrize(
    "cursor", ["x", "aWQ6", "aWQ6bm9uc2Vuc2U", "c2VxdWVuY2U6MQ", "%F0%9F%98%80", "AAAA"]
)
def test_a_cursor_that_is_none_is_refused(program: Program, cursor: str) -> None:
    problem(program.get(f"keys/?cursor={cursor}"), 400, "invalid_cursor")


def test_a_list_is_read_in_a_fixed_number_of_queries(
    program: Program, django_assert_max_num_queries: Any
) -> None:
    for _ in range(20):
        factories.key(program.tenant, created_by=factories.member(program.tenant))
    program.get("me/")

    with django_assert_max_num_queries(4):
        assert len(program.get("keys/").json()["data"]) == 21


def test_the_organization_is_shown_and_renamed(program: Program) -> None:
    shown = program.get("organization/").json()
    assert set(shown) >= {"id", "name", "slug", "status", "created_at"}

    renamed = program.patch("organization/", {"name": "  New   name "}).json()

    assert renamed["name"] == "New name"
    assert renamed["slug"] == shown["slug"]
    problem(program.patch("organization/", {"slug": "x"}), 400, "validation_failed")
    problem(program.patch("organization/", {"name": " "}), 400, "validation_failed")


def test_a_key_is_changed_and_the_trail_says_what(program: Program) -> None:
    key = factories.key(program.tenant, rpm=5).key

    changed = program.patch(
        f"keys/{key.id}/",
        {"name": "new", "rpm": None, "budget": {"amount": "12.50", "period": "month"}},
    )

    assert changed.json()["name"] == "new"
    assert changed.json()["rpm"] is None
    assert changed.json()["budget"] == {"amount": "12.50", "period": "month"}
    event = AuditEvent.objects.for_organization(program.tenant).get(action="key.changed")
    assert event.after["budget"] == {"amount": "12.50", "period": "month"}
    again = program.patch(f"keys/{key.id}/", {"budget": None})
    assert (again.json()["budget"], again.json()["name"]) == (None, "new")


@pytest.mark.parametrize(
    "budget",
    [{"amount": 5, "period": "day"}, {"amount": "0", "period": "day"}, {"amount": "-1.00", "period": "day"},
     {"amount": "1e3", "period": "day"}, {"amount": "0.0000000001", "period": "day"}, {"amount": "1.00"},
     {"amount": "1.00", "period": "year"}, {"amount": "1.00", "period": "day", "more": 1}, "5", [],
     {"amount": "٥.00", "period": "day"}],
)  # fmt: skip
def test_a_budget_that_is_none_is_refused(program: Program, budget: Any) -> None:
    key = factories.key(program.tenant).key

    found = problem(program.patch(f"keys/{key.id}/", {"budget": budget}), 400, "validation_failed")

    assert found["errors"][0]["field"].startswith("budget")


def test_a_rotated_key_has_a_new_secret_and_the_old_one_a_grace(program: Program) -> None:
    before = program.secret
    mine = program.get("me/").json()["id"]

    rotated = program.post(f"keys/{mine}/rotate/", {"grace_s": 60}, Idempotency_Key="r")

    assert rotated.json()["secret"].startswith("thm_")
    assert rotated.json()["id"] == mine
    assert program.get("me/").status_code == 200
    program.secret = rotated.json()["secret"]
    assert program.get("me/").status_code == 200
    program.post(f"keys/{mine}/rotate/")
    program.secret = before
    assert program.get("me/").status_code == 200
    RetiredSecret.objects.update(expires_at=timezone.now())
    problem(program.get("me/"), 401, "invalid_api_key")


def test_a_revoked_key_is_neither_changed_nor_rotated(program: Program) -> None:
    key = factories.key(program.tenant).key
    program.delete(f"keys/{key.id}/")

    problem(program.patch(f"keys/{key.id}/", {"name": "x"}), 409, "conflict")
    problem(program.post(f"keys/{key.id}/rotate/"), 409, "conflict")


def test_no_key_comes_by_the_secret_of_a_stronger_one(program: Program) -> None:
    tenant = program.tenant
    weak = Program.of(tenant, "write", role="developer", allowed_regions=["eu"])
    strong = program.get("me/").json()["id"]
    wide, narrow = factories.key(tenant).key, factories.key(tenant, allowed_regions=["eu"]).key

    problem(weak.post(f"keys/{strong}/rotate/"), 403, "insufficient_scope")
    problem(weak.patch(f"keys/{strong}/", {"scopes": ["read"]}), 403, "insufficient_scope")
    problem(weak.post(f"keys/{wide.id}/rotate/"), 403, "insufficient_scope")
    problem(weak.patch(f"keys/{narrow.id}/", {"allowed_regions": []}), 403, "insufficient_scope")
    assert weak.post(f"keys/{narrow.id}/rotate/").status_code == 200


def test_whoever_was_shown_the_secret_limits_the_key(program: Program) -> None:
    tenant = program.tenant
    developer = factories.member(tenant, "developer")
    key = ApiKey.objects.get(organization=tenant)

    program.secret = rotate(
        key, grace=timedelta(0), actor=SYSTEM, rotated_by=developer
    ).secret  # fmt: skip

    assert program.get("me/").json()["role"] == "developer"
    problem(program.patch("organization/", {"name": "x"}), 403, "insufficient_role")


def test_a_secret_in_its_grace_gains_no_right_by_being_taken_back(program: Program) -> None:
    tenant = program.tenant
    owner, developer = (
        tenant.memberships.get(role="owner").user,
        factories.member(tenant, "developer"),
    )
    key = ApiKey.objects.get(organization=tenant)
    day = timedelta(days=1)
    shown = [
        rotate(key, grace=day, actor=SYSTEM, rotated_by=person).secret
        for person in (developer, owner, developer, owner)
    ]

    rights = []
    for secret in (program.secret, *shown):
        program.secret = secret
        invited = program.post("invitations/", {"email": "ben@example.com", "role": "admin"})
        rights.append((program.get("me/").json()["role"], invited.status_code))

    assert rights == [
        ("owner", 201), ("developer", 403), ("owner", 201), ("developer", 403), ("owner", 201)
    ]  # fmt: skip


def test_a_key_that_rotates_itself_passes_on_the_rights_of_the_secret_it_was_asked_with(
    program: Program,
) -> None:
    key = ApiKey.objects.get(organization=program.tenant)
    developer = factories.member(program.tenant, "developer")
    program.secret = rotate(
        key, grace=timedelta(0), actor=SYSTEM, rotated_by=developer
    ).secret  # fmt: skip

    program.secret = program.post(f"keys/{key.id}/rotate/").json()["secret"]

    assert program.get("me/").json()["role"] == "developer"


def test_a_key_belongs_to_who_was_shown_the_secret_it_was_made_with(program: Program) -> None:
    key = ApiKey.objects.get(organization=program.tenant)
    developer = factories.member(program.tenant, "developer")
    program.secret = rotate(
        key, grace=timedelta(0), actor=SYSTEM, rotated_by=developer
    ).secret  # fmt: skip

    made = program.post("keys/", {"name": "made by a program"}).json()

    assert made["created_by"] == developer.email
    remove(
        program.tenant.memberships.get(user=developer), by=key.created_by, actor=SYSTEM
    )  # fmt: skip
    assert ApiKey.objects.get(pk=made["id"]).status == "revoked"
