"""Who may call: keys of the right kind, alive, from the right address; people by session with CSRF."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.audit import SYSTEM
from accounts.models import Organization, User
from keys import secrets
from keys.models import ApiKey
from keys.services import mint, revoke
from tests import factories
from tests.api.program import Program, problem

pytestmark = pytest.mark.django_db


def test_a_key_is_told_who_it_is(program: Program) -> None:
    me = program.get("me/").json()

    assert me["kind"] == "management"
    assert me["organization"] == program.tenant.id
    assert me["scopes"] == ["billing", "read", "write"]
    assert (me["role"], me["plan"]) == ("owner", "enterprise")
    assert "delete_organization" not in me["permissions"]
    assert me["limits"]["remaining"] == me["limits"]["requests_per_minute"] - 1
    assert set(me["limits"]) >= {"model_requests_per_minute", "model_requests_at_once"}


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic abc", "Bearer thm_short", "thm_x", "Bearer \xff"]
)
def test_what_is_no_key_is_refused(program: Program, header: str) -> None:
    found = problem(program.get("me/", Authorization=header), 401, "invalid_api_key")

    assert "thm_…" in found["detail"]


def test_without_any_credential_one_is_told_how_to_sign_in(db: None) -> None:
    answer = Program(factories.organization(), "").get("me/")

    problem(answer, 401, "invalid_api_key")
    assert answer["www-authenticate"] == "Bearer"


def test_one_character_off_or_unknown_is_refused(program: Program) -> None:
    off = program.secret[:-8] + ("A" if program.secret[-8] != "A" else "B") + program.secret[-7:]

    for secret in (off, secrets.new_secret("management"), program.secret + "x"):
        problem(program.get("me/", Authorization=f"Bearer {secret}"), 401, "invalid_api_key")


def test_an_inference_key_is_the_wrong_kind(program: Program) -> None:
    secret = factories.key(program.tenant).secret

    found = problem(program.get("me/", Authorization=f"Bearer {secret}"), 403, "insufficient_scope")

    assert found["errors"][0]["code"] == "wrong_key_kind"


def test_a_revoked_key_stops_at_once(program: Program) -> None:
    assert program.get("me/").status_code == 200

    revoke(ApiKey.objects.get(organization=program.tenant), actor=SYSTEM)

    problem(program.get("me/"), 401, "invalid_api_key")


def test_an_expired_key_is_refused(program: Program) -> None:
    ApiKey.objects.filter(organization=program.tenant).update(
        expires_at=timezone.now() - timedelta(seconds=1)
    )

    problem(program.get("me/"), 401, "invalid_api_key")


def test_a_key_is_held_to_its_addresses(program: Program) -> None:
    elsewhere = Program.of(program.tenant, ip_allowlist=["203.0.113.0/24"])

    problem(elsewhere.get("me/"), 403, "address_not_allowed")
    inside = elsewhere.client.get(
        "/api/v1/me/", headers={"Authorization": f"Bearer {elsewhere.secret}"},
        REMOTE_ADDR="203.0.113.9",
    )  # fmt: skip
    assert inside.status_code == 200


def test_a_suspended_organization_is_refused(program: Program) -> None:
    Organization.objects.filter(pk=program.tenant.pk).update(status="suspended")

    problem(program.get("me/"), 403, "organization_suspended")


def test_a_key_does_what_its_maker_may_do_today(program: Program) -> None:
    tenant = program.tenant
    developers = Program.of(tenant, role="developer")
    assert "manage_keys" in developers.get("me/").json()["permissions"]

    tenant.memberships.filter(role="developer").update(role="viewer")

    found = problem(developers.post("keys/", {"name": "more"}), 403, "insufficient_role")
    assert "Developer" in found["detail"]


def test_a_key_whose_maker_is_no_member_does_nothing(program: Program) -> None:
    left = Program.of(program.tenant, role="admin")
    program.tenant.memberships.filter(role="admin").delete()

    assert left.get("me/").json()["permissions"] == []
    problem(left.get("organization/"), 403, "insufficient_role")


def test_a_key_whose_maker_is_switched_off_does_nothing(program: Program) -> None:
    User.objects.filter(memberships__organization=program.tenant).update(is_active=False)

    assert program.get("me/").json()["permissions"] == []
    problem(program.get("organization/"), 403, "insufficient_role")


def test_an_operators_key_acts_as_an_admin(db: None) -> None:
    tenant = factories.organization()
    minted = mint(tenant, "cli", kind="management", actor=SYSTEM)

    assert Program(tenant, minted.secret).get("me/").json()["role"] == "admin"


def test_a_key_remembers_when_it_was_used(program: Program) -> None:
    program.get("me/")

    assert ApiKey.objects.get(organization=program.tenant).last_used_at is not None


def test_an_old_pepper_still_finds_its_keys(program: Program, settings: Any) -> None:
    settings.FIELD_ENCRYPTION_KEYS = ["a new one", *settings.FIELD_ENCRYPTION_KEYS]

    assert program.get("me/").status_code == 200


def signed_in(tenant: Organization, role: str = "owner", *, csrf: bool = False) -> Program:
    client = Client(enforce_csrf_checks=csrf)
    client.force_login(factories.member(tenant, role))
    return Program(tenant, "", client)


def test_somebody_signed_in_is_limited_by_the_role() -> None:
    me = signed_in(factories.organization(), "viewer").get("me/").json()

    assert (me["kind"], me["role"], me["id"]) == ("session", "viewer", None)
    assert "manage_keys" not in me["permissions"]


def test_a_session_needs_the_token_that_only_our_pages_know() -> None:
    browser = signed_in(factories.organization(), csrf=True)

    problem(browser.patch("organization/", {"name": "Evil"}), 403, "csrf_failed")


def test_the_organization_is_named_where_there_are_several() -> None:
    one, other, foreign = (factories.organization() for _ in range(3))
    browser = signed_in(one)
    person = one.memberships.get().user
    other.memberships.create(user=person, role="viewer")

    problem(browser.get("me/"), 400, "organization_required")
    assert browser.get("me/", X_Organization=other.slug).json()["organization"] == other.id
    assert browser.get(f"me/?organization={one.id}").json()["role"] == "owner"
    for name in (foreign.slug, foreign.id, "org_nonsense", "", "nothing"):
        assert browser.get("me/", X_Organization=name or "-").status_code == 404


def test_a_key_that_is_sent_is_never_replaced_by_the_session(program: Program) -> None:
    browser = signed_in(program.tenant)

    problem(browser.get("me/", Authorization="Bearer nonsense"), 401, "invalid_api_key")


def test_keys_are_made_by_those_who_signed_in_recently(settings: Any) -> None:
    browser = signed_in(factories.organization())
    assert browser.post("keys/", {"name": "one"}).status_code == 201

    settings.ACCOUNT_REAUTHENTICATION_TIMEOUT = -1

    problem(browser.post("keys/", {"name": "two"}), 403, "reauthentication_required")
