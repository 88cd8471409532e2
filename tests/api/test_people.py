"""Members, invitations, the trail and messages by program."""

from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from accounts.audit import SYSTEM
from accounts.members import remove
from accounts.models import AuditEvent, Invitation, Membership
from tests import factories
from tests.api.program import Program, problem
from tokenhub.web.models import ContactRequest

pytestmark = pytest.mark.django_db


def test_members_are_listed_and_their_roles_changed(program: Program) -> None:
    member = factories.membership(program.tenant, "viewer")
    path = f"members/mem_{member.pk}/"

    listed = program.get("members/").json()["data"]
    changed = program.patch(path, {"role": "developer"}).json()

    assert [each["role"] for each in listed] == ["owner", "viewer"]
    assert set(listed[0]) == {"id", "email", "name", "role", "joined_at"}
    assert changed == {**listed[1], "role": "developer"} == program.get(path).json()
    event = AuditEvent.objects.for_organization(program.tenant).first()
    assert (event.actor_kind, event.before, event.after) == (
        "key", {"role": "viewer"}, {"role": "developer"},
    )  # fmt: skip


def test_a_removed_members_keys_stop(program: Program) -> None:
    other = Program.of(program.tenant, role="admin")
    member = Membership.objects.get(organization=program.tenant, role="admin")

    assert program.delete(f"members/mem_{member.pk}/").status_code == 204

    problem(other.get("me/"), 401, "invalid_api_key")
    problem(program.delete(f"members/mem_{member.pk}/"), 404, "not_found")


def test_no_key_touches_owners_or_makes_some(program: Program) -> None:
    owner = Membership.objects.get(organization=program.tenant)
    member = factories.membership(program.tenant, "admin")
    path = f"members/mem_{owner.pk}/"

    problem(program.patch(path, {"role": "viewer"}), 403, "not_allowed")
    problem(program.delete(path), 403, "not_allowed")
    problem(program.patch(f"members/mem_{member.pk}/", {"role": "owner"}), 403, "not_allowed")
    invited = program.post("invitations/", {"email": "o@example.com", "role": "owner"})
    problem(invited, 403, "not_allowed")


@pytest.mark.parametrize(
    "member_id", ["mem_0", "mem_", "1", "mem_x", "mem_99999999999999999999", "mem_١"]
)
def test_a_member_id_that_is_none_is_not_found(program: Program, member_id: str) -> None:
    problem(program.get(f"members/{member_id}/"), 404, "not_found")


def test_somebody_is_invited_and_the_link_is_only_in_the_mail(
    program: Program, mailoutbox: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        made = program.post("members/", {"email": "Ben@Example.com", "role": "viewer"})

    invitation = made.json()
    assert made.status_code == 201
    assert (invitation["email"], invitation["status"]) == ("ben@example.com", "open")
    link = next(word for word in mailoutbox[0].body.split() if "/invite/" in word)
    assert link.rsplit("/", 2)[1] not in made.content.decode()
    again = program.post("invitations/", {"email": "ben@example.com", "role": "admin"}).json()
    listed = program.get("invitations/").json()["data"]
    assert [(each["id"], each["status"]) for each in listed] == [
        (again["id"], "open"), (invitation["id"], "revoked"),
    ]  # fmt: skip
    path = f"invitations/{again['id']}/"
    assert program.delete(path).json()["status"] == "revoked"
    assert program.get(path).json()["status"] == "revoked"


def test_an_open_invitations_role_is_changed_and_the_link_stays(program: Program) -> None:
    offer = factories.invitation(program.tenant)
    path = f"invitations/{offer.id}/"

    changed = program.patch(path, {"role": "developer"})

    assert changed.status_code == 200
    assert changed.json() == program.get(path).json()
    assert (changed.json()["role"], changed.json()["status"]) == ("developer", "open")
    kept = Invitation.objects.get(pk=offer.pk)
    assert (kept.digest, kept.expires_at) == (offer.digest, offer.expires_at)
    event = AuditEvent.objects.for_organization(program.tenant).first()
    assert (event.action, event.before, event.after) == (
        "invitation.changed", {"role": "viewer"}, {"role": "developer"},
    )  # fmt: skip
    problem(program.patch(path, {"role": "owner"}), 403, "not_allowed")
    problem(program.patch(path, {"role": "god"}), 400, "validation_failed")
    program.delete(path)
    problem(program.patch(path, {"role": "viewer"}), 409, "conflict")


def test_what_a_program_invited_goes_with_who_was_shown_its_secret(program: Program) -> None:
    owner, admin = factories.member(program.tenant), factories.member(program.tenant, "admin")
    key = factories.key(program.tenant, kind="management", created_by=admin)
    program.secret = key.secret
    made = program.post("invitations/", {"email": "sock@example.com", "role": "admin"}).json()
    changed = factories.invitation(program.tenant)
    program.patch(f"invitations/{changed.id}/", {"role": "admin"})
    assert made["invited_by"] == admin.email

    remove(program.tenant.memberships.get(user=admin), by=owner, actor=SYSTEM)

    assert not Invitation.objects.filter(organization=program.tenant, revoked_at=None).exists()


def test_an_invitation_is_sent_once(program: Program) -> None:
    body = {"email": "once@example.com", "role": "viewer"}

    first = program.post("invitations/", body, Idempotency_Key="i")
    again = program.post("invitations/", body, Idempotency_Key="i")

    assert again.content == first.content
    assert Invitation.objects.for_organization(program.tenant).count() == 1


@pytest.mark.parametrize(
    "body",
    [{}, {"email": "no", "role": "viewer"}, {"email": "a@example.com", "role": "god"},
     {"email": "a@example.com", "role": "viewer", "organization": "org_x"}, {"email": None, "role": "viewer"}],
)  # fmt: skip
def test_a_senseless_invitation_is_refused(program: Program, body: dict[str, Any]) -> None:
    problem(program.post("invitations/", body), 400, "validation_failed")


def test_the_trail_is_found_by_who_what_and_when(program: Program) -> None:
    program.patch("organization/", {"name": "Renamed"})
    me = program.get("me/").json()["id"]

    for query in (
        f"actor={me}",
        "action=organization.",
        f"target={program.tenant.id}",
        f"actor={me}&from=2026-01-01",
    ):
        found = program.get(f"audit-events/?{query}").json()["data"]
        assert found[0]["action"] == "organization.renamed", query
        assert found[0]["after"] == {"name": "Renamed"}
    assert set(found[0]) == {
        "id", "created_at", "actor_kind", "actor", "action", "target", "before", "after", "ip_address",
    }  # fmt: skip
    assert program.get("audit-events/?to=2020-01-01").json()["data"] == []
    problem(
        Program.of(program.tenant, role="developer").get("audit-events/"), 403, "insufficient_role"
    )


@pytest.fixture
def nothing_counted(settings: Any) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    cache.clear()


MESSAGE = {"topic": "compliance", "name": "Ann", "message": "We need the extension."}


def test_anybody_writes_to_us_without_a_credential(nothing_counted: None) -> None:
    visitor = Program(factories.organization(), "")
    body = {**MESSAGE, "email": factories.marker_address()}

    made = visitor.post("contact/", body, Idempotency_Key="c")
    again = visitor.post("contact/", body, Idempotency_Key="c")

    kept = ContactRequest.objects.get(email=body["email"])
    assert made.status_code == 201
    assert again.content == made.content
    assert made.json() == {"reference": kept.reference, "topic": "compliance", "status": "new"}
    answers = [visitor.post("contact/", body) for _ in range(6)]
    problem(answers[-1], 429, "rate_limit_exceeded")
    assert answers[-1]["retry-after"] == "3600"


@pytest.mark.parametrize(
    "field", ["status", "assignee", "notes", "reference", "organization", "website"]
)
def test_a_message_sets_nothing_else(field: str) -> None:
    answer = Client().post(
        "/api/v1/contact/", {**MESSAGE, "email": "a@example.com", field: "x"},
        content_type="application/json",
    )  # fmt: skip

    assert problem(answer, 400, "validation_failed")["errors"][0]["code"] == "unknown_field"
