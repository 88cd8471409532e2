"""Operators: how they come in, what they may do, what they cannot."""

from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib.admin.models import LogEntry
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from accounts.admin import MembersFormSet
from accounts.audit import SYSTEM
from accounts.members import invite, remove
from accounts.models import AuditEvent, Membership, Organization, User
from accounts.services import close_organization
from tests import factories
from tests.web.pages import safe

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(client: Client) -> Client:
    person = factories.user(is_staff=True, is_superuser=True)
    client.force_login(person)
    return client


def test_the_first_operator_can_sign_in_without_any_mail(
    client: Client, monkeypatch: pytest.MonkeyPatch, mailoutbox: list[object]
) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", factories.PASSWORD)
    call_command("createsuperuser", email="Root@example.com", interactive=False, verbosity=0)

    client.post("/accounts/login/", {"login": "root@example.com", "password": factories.PASSWORD})

    assert client.get("/admin/").status_code == 200
    assert User.objects.get(email="root@example.com").is_superuser
    assert mailoutbox == []


def test_the_admin_sends_a_stranger_to_our_own_sign_in(client: Client) -> None:
    response = client.get("/admin/", follow=True)

    assert response.redirect_chain[-1][0].startswith("/accounts/login/")


def test_a_member_who_is_no_operator_stays_outside(client: Client) -> None:
    client.force_login(factories.member(factories.organization()))

    assert client.get("/admin/", follow=True).status_code == 403


CHANGELIST = "admin:accounts_organization_changelist"
REASON = "Reported by three banks"


def test_suspending_asks_for_a_reason_takes_effect_and_is_recorded_once(operator: Client) -> None:
    tenant = factories.organization()
    data: dict[str, Any] = {"action": "suspend", "_selected_action": [tenant.pk]}

    asked = operator.post(reverse(CHANGELIST), data)
    too_short = operator.post(reverse(CHANGELIST), {**data, "reason": "because"})
    tenant.refresh_from_db()
    assert tenant.status == "active"
    for page in (asked, too_short):
        assert 'name="reason"' in page.content.decode()
        safe(page)
    for _ in range(2):
        operator.post(reverse(CHANGELIST), {**data, "reason": REASON})

    tenant.refresh_from_db()
    assert tenant.status == "suspended"
    events = AuditEvent.objects.filter(organization=tenant, action="organization.status_changed")
    assert [(event.actor_kind, event.after) for event in events] == [
        ("staff", {"status": "suspended", "reason": REASON})
    ]
    assert LogEntry.objects.get(object_id=tenant.pk).change_message == f"suspend: {REASON}"


def test_reinstating_is_recorded_and_a_closed_one_stays_closed(operator: Client) -> None:
    tenant, closed = factories.organization(), factories.organization()
    Organization.objects.filter(pk=tenant.pk).update(status="suspended")
    Organization.objects.filter(pk=closed.pk).update(status="closed")
    data = {"action": "reinstate", "_selected_action": [tenant.pk, closed.pk], "reason": REASON}

    operator.post(reverse(CHANGELIST), data)

    assert {each.status for each in Organization.objects.filter(pk__in=[tenant.pk, closed.pk])} == {
        "active",
        "closed",
    }
    assert AuditEvent.objects.filter(action="organization.status_changed").count() == 1


def test_what_an_operator_does_to_members_is_in_the_trail(operator: Client) -> None:
    tenant = factories.organization("Before")
    owner, person = factories.member(tenant), factories.user()
    place = tenant.memberships.get(user=owner)
    form = {
        "name": "After", "memberships-TOTAL_FORMS": 2, "memberships-INITIAL_FORMS": 1,
        "memberships-0-id": place.pk, "memberships-0-organization": tenant.pk, "memberships-0-user": owner.pk,
        "memberships-0-role": "owner", "memberships-1-organization": tenant.pk, "memberships-1-user": person.pk,
        "memberships-1-role": "viewer",
    }  # fmt: skip

    answer = operator.post(reverse("admin:accounts_organization_change", args=[tenant.pk]), form)

    assert answer.status_code == 302
    events = AuditEvent.objects.filter(organization=tenant, actor_kind="staff").order_by("id")
    assert [event.action for event in events] == ["organization.renamed", "member.added"]


def posted(tenant: Organization, **changes: str) -> dict[str, Any]:
    """The form of an organization, with other roles by user; no role takes somebody out."""
    form: dict[str, Any] = {"name": tenant.name, "memberships-MAX_NUM_FORMS": 1000}
    places = list(tenant.memberships.order_by("pk"))
    form |= {"memberships-TOTAL_FORMS": len(places), "memberships-INITIAL_FORMS": len(places)}
    for number, place in enumerate(places):
        role = changes.get(f"u{place.user_id}", place.role)
        fields = {"id": place.pk, "organization": tenant.pk, "user": place.user_id, "role": role or place.role}  # fmt: skip
        form |= {f"memberships-{number}-{name}": value for name, value in fields.items()}
        if not role:
            form[f"memberships-{number}-DELETE"] = "on"
    return form


def test_who_an_operator_takes_out_is_out_with_keys_and_invitations(operator: Client) -> None:
    tenant = factories.organization()
    owner, leaver = factories.member(tenant), factories.member(tenant)
    theirs, kept = (factories.key(tenant, created_by=person).key for person in (leaver, owner))
    invitation = invite(tenant, factories.marker_address(), "owner", by=leaver, actor=SYSTEM)

    operator.post(
        reverse("admin:accounts_organization_change", args=[tenant.pk]),
        posted(tenant, **{f"u{leaver.pk}": ""}),
    )

    assert not tenant.memberships.filter(user=leaver).exists()
    for row in (theirs, kept, invitation):
        row.refresh_from_db()
    assert (theirs.status, kept.status, invitation.is_open) == ("revoked", "active", False)
    event = AuditEvent.objects.get(organization=tenant, action="member.removed")
    assert (event.actor_kind, event.target) == ("staff", leaver.email)


def test_an_operator_hands_an_organization_over_but_leaves_none_without_an_owner(
    operator: Client,
) -> None:
    tenant = factories.organization()
    owner, heir = factories.member(tenant), factories.member(tenant, "viewer")
    url = reverse("admin:accounts_organization_change", args=[tenant.pk])
    nobody, heirs = {f"u{owner.pk}": ""}, {f"u{owner.pk}": "viewer", f"u{heir.pk}": "owner"}

    for wrong in (nobody, {f"u{owner.pk}": "admin"}):
        answer = operator.post(url, posted(tenant, **wrong))
        assert "needs an owner" in answer.content.decode()
    assert tenant.memberships.get(user=owner).role == "owner"
    assert operator.post(url, posted(tenant, **heirs)).status_code == 302

    assert dict(tenant.memberships.values_list("user_id", "role")) == {
        owner.pk: "viewer",
        heir.pk: "owner",
    }


def test_an_operator_takes_the_last_owner_out_of_a_closed_organization(operator: Client) -> None:
    tenant = factories.organization()
    owner = factories.member(tenant)
    close_organization(tenant, actor=SYSTEM)
    url = reverse("admin:accounts_organization_change", args=[tenant.pk])

    assert operator.post(url, posted(tenant, **{f"u{owner.pk}": ""})).status_code == 302

    assert not tenant.memberships.exists()


@pytest.mark.parametrize("becomes", ["viewer", ""])
def test_an_owner_who_became_the_last_one_meanwhile_stays(
    operator: Client, monkeypatch: pytest.MonkeyPatch, becomes: str
) -> None:
    tenant = factories.organization()
    owner, other = factories.member(tenant), factories.member(tenant)
    check = MembersFormSet.clean

    def another_leaves_after(form: MembersFormSet) -> None:
        check(form)
        remove(tenant.memberships.get(user=other), by=other, actor=SYSTEM)

    monkeypatch.setattr(MembersFormSet, "clean", another_leaves_after)
    answer = operator.post(
        reverse("admin:accounts_organization_change", args=[tenant.pk]),
        posted(tenant, **{f"u{owner.pk}": becomes}),
        follow=True,
    )

    assert f"Not done for {owner.email}: An organization needs an owner" in answer.content.decode()
    assert tenant.memberships.get().role == "owner"


def test_a_membership_does_not_become_another_persons(operator: Client) -> None:
    tenant = factories.organization()
    owner, stranger = factories.member(tenant), factories.user()

    operator.post(
        reverse("admin:accounts_organization_change", args=[tenant.pk]),
        {**posted(tenant), "memberships-0-user": stranger.pk},
    )

    assert tenant.memberships.get().user == owner


def test_an_account_that_is_switched_off_takes_its_keys_invitations_and_sessions(
    operator: Client, client: Client
) -> None:
    person = factories.user()
    tenants = [factories.organization(), factories.organization()]
    keys = []
    for tenant in tenants:
        Membership.objects.create(organization=tenant, user=person, role="owner")
        keys.append(factories.key(tenant, created_by=person).key)
    invitation = invite(tenants[0], "sock@example.com", "owner", by=person, actor=SYSTEM)
    browser = Client()
    browser.post("/accounts/login/", {"login": person.email, "password": factories.PASSWORD})
    browser.get("/me/")
    assert UserSession.objects.filter(user=person).exists()
    url = reverse("admin:accounts_user_change", args=[person.pk])
    form = {"email": person.email, "name": "", "is_staff": "", "is_superuser": ""}

    assert operator.post(url, form).status_code == 302

    person.refresh_from_db()
    invitation.refresh_from_db()
    for key in keys:
        key.refresh_from_db()
    assert (person.is_active, invitation.is_open) == (False, False)
    assert {key.status for key in keys} == {"revoked"}
    assert not UserSession.objects.filter(user=person).exists()
    told = AuditEvent.objects.filter(action="member.switched_off", target=person.email)
    assert {event.organization for event in told} == set(tenants)
    # Nobody is in again by the account being switched on.
    operator.post(url, {**form, "is_active": "on"})
    assert browser.get(f"/o/{tenants[0].slug}/").status_code == 302


def test_organizations_are_found_by_a_members_address(operator: Client) -> None:
    tenant = factories.organization("Findable")
    person = factories.member(tenant)

    page = operator.get(reverse(CHANGELIST), {"q": person.email})

    assert list(page.context["cl"].queryset) == [tenant]


def test_a_suspended_organization_says_so_to_its_members(operator: Client, client: Client) -> None:
    tenant = factories.organization()
    tenant.status = "suspended"
    tenant.save()
    member = Client()
    member.force_login(factories.member(tenant))

    assert "suspended" in member.get(f"/o/{tenant.slug}/").content.decode()


def test_the_audit_trail_is_read_only_even_here(operator: Client) -> None:
    tenant = factories.organization()
    from accounts.audit import SYSTEM, record

    event = record(tenant, SYSTEM, "test.happened", "x")
    listed = operator.get(reverse("admin:accounts_auditevent_changelist"))
    shown = operator.get(reverse("admin:accounts_auditevent_change", args=[event.pk]))

    assert listed.status_code == shown.status_code == 200
    assert b'name="_save"' not in shown.content
    assert operator.get(reverse("admin:accounts_auditevent_add")).status_code == 403
    assert (
        operator.post(reverse("admin:accounts_auditevent_delete", args=[event.pk])).status_code
        == 403
    )


@pytest.mark.parametrize("model", ["user", "organization", "auditevent"])
def test_every_list_and_search_opens(operator: Client, model: str) -> None:
    factories.member(factories.organization())
    url = reverse(f"admin:accounts_{model}_changelist")

    response = operator.get(url, {"q": "acme"})

    assert response.status_code == 200
    assert "unsafe-inline" not in response["content-security-policy"]
    assert b"css/admin.css" in response.content


def test_no_operator_reads_or_changes_what_signs_somebody_in(operator: Client) -> None:
    person = factories.user()
    factor = Authenticator.objects.create(
        user=person, type=Authenticator.Type.TOTP, data={"secret": "CANARYTOTPSECRET"}
    )
    session = UserSession.objects.create(
        user=person, session_key="canarysessionkey", ip="127.0.0.1", user_agent="a browser"
    )

    for kind, row, secret in (
        ("mfa_authenticator", factor, "CANARYTOTPSECRET"),
        ("usersessions_usersession", session, session.session_key),
    ):
        found = operator.get(reverse(f"admin:{kind}_changelist"), {"q": person.email})
        shown = operator.get(reverse(f"admin:{kind}_change", args=[row.pk]))
        assert person.email in found.content.decode()
        assert shown.status_code == 200
        assert secret not in shown.content.decode() + found.content.decode()
        assert operator.get(reverse(f"admin:{kind}_add")).status_code == 403
        changed = operator.post(
            reverse(f"admin:{kind}_change", args=[row.pk]), {"user": person.pk, "data": "{}"}
        )
        assert changed.status_code == 403
    assert operator.get("/admin/socialaccount/socialapp/").status_code == 404
    assert operator.get("/admin/socialaccount/socialtoken/").status_code == 404
    assert operator.get("/admin/socialaccount/socialaccount/").status_code == 200


def test_a_factor_that_was_lost_is_taken_away(operator: Client) -> None:
    factor = Authenticator.objects.create(
        user=factories.user(), type=Authenticator.Type.TOTP, data={"secret": "LOST"}
    )

    operator.post(reverse("admin:mfa_authenticator_delete", args=[factor.pk]), {"post": "yes"})

    assert not Authenticator.objects.filter(pk=factor.pk).exists()
