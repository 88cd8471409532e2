"""Who belongs to an organization: by invitation, with a role, and never without an owner."""

import re
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from accounts import members
from accounts.audit import SYSTEM, Actor
from accounts.errors import CannotClose, InvitationUnusable, NotAllowed
from accounts.models import AuditEvent, Invitation, Membership, Organization, User
from accounts.roles import Role
from accounts.services import close_organization, rename_organization
from billing.models import AutomaticTopUp, Dispute
from tests import factories


def invited(
    tenant: Organization,
    email: str,
    mailoutbox: list[Any],
    capture: Any,
    role: str = Role.DEVELOPER,
) -> str:
    """Invite somebody; the token of the mail."""
    by = tenant.memberships.filter(role=Role.OWNER).first()
    owner = by.user if by else factories.member(tenant)
    with capture(execute=True):
        members.invite(tenant, email, role, by=owner, actor=SYSTEM)
    found = re.search(r"/invite/([\w-]+)/", mailoutbox[-1].body)
    assert found is not None
    assert mailoutbox[-1].to == [email]
    return found.group(1)


def offer(token: str) -> Invitation:
    found = members.invitation_of(token)
    assert found is not None
    return found


def membership(tenant: Organization, user: User) -> Membership:
    return Membership.objects.get(organization=tenant, user=user)


@pytest.mark.django_db
def test_an_invitation_makes_its_reader_a_member_once(
    mailoutbox: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    tenant, person = factories.organization(), factories.user()
    token = invited(tenant, person.email, mailoutbox, django_capture_on_commit_callbacks)

    members.accept(offer(token), person, ip_address="203.0.113.9")

    assert membership(tenant, person).role == Role.DEVELOPER
    event = AuditEvent.objects.get(organization=tenant, action="member.joined")
    assert (event.actor, event.ip_address) == (person.email, "203.0.113.9")
    with pytest.raises(InvitationUnusable, match="used already"):
        members.accept(offer(token), person, ip_address=None)


@pytest.mark.django_db
def test_the_token_is_in_the_mail_alone(
    mailoutbox: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    tenant = factories.organization()
    token = invited(tenant, "x@example.com", mailoutbox, django_capture_on_commit_callbacks)

    kept = str(list(Invitation.objects.values())) + str(list(AuditEvent.objects.values()))

    assert token not in kept


@pytest.mark.django_db
@pytest.mark.parametrize(
    "wrong", ["person", "expired", "revoked", "replaced", "closed", "unverified"]
)
def test_an_invitation_is_refused_with_the_reason(
    mailoutbox: list[Any], django_capture_on_commit_callbacks: Any, wrong: str
) -> None:
    tenant, person = factories.organization(), factories.user()
    token = invited(tenant, person.email, mailoutbox, django_capture_on_commit_callbacks)
    invitation = offer(token)
    if wrong == "person":
        person = factories.user()
    elif wrong == "expired":
        Invitation.objects.filter(pk=invitation.pk).update(expires_at=timezone.now())
    elif wrong == "revoked":
        members.revoke_invitation(invitation, actor=SYSTEM)
    elif wrong == "replaced":
        invited(tenant, person.email, mailoutbox, django_capture_on_commit_callbacks)
    elif wrong == "closed":
        close_organization(tenant, actor=SYSTEM)
    else:
        person.emailaddress_set.update(verified=False)  # type: ignore[attr-defined]

    with pytest.raises(InvitationUnusable):
        members.accept(offer(token), person, ip_address=None)

    assert not Membership.objects.filter(organization=tenant, user=person).exists()


@pytest.mark.django_db
def test_one_open_invitation_per_address_even_by_sql() -> None:
    tenant = factories.organization()
    fields: dict[str, Any] = {
        "organization": tenant, "role": "viewer", "expires_at": timezone.now() + timedelta(1),
    }  # fmt: skip
    Invitation.objects.create(email="a@example.com", digest=b"1", **fields)

    with pytest.raises(DatabaseError), transaction.atomic():
        Invitation.objects.create(email="A@Example.com", digest=b"2", **fields)


@pytest.mark.django_db
def test_only_an_owner_touches_owners() -> None:
    tenant = factories.organization()
    owner, admin = factories.member(tenant), factories.member(tenant, Role.ADMIN)
    viewer = membership(tenant, factories.member(tenant, Role.VIEWER))
    actor = Actor.user(admin)

    for attempt in (
        lambda: members.invite(tenant, "o@example.com", Role.OWNER, by=admin, actor=actor),
        lambda: members.change_role(viewer, Role.OWNER, by=admin, actor=actor),
        lambda: members.change_role(membership(tenant, owner), Role.VIEWER, by=admin, actor=actor),
        lambda: members.remove(membership(tenant, owner), by=admin, actor=actor),
        lambda: members.transfer_ownership(tenant, viewer, by=admin, actor=actor),
    ):
        with pytest.raises(NotAllowed, match="Only an owner"):
            attempt()

    members.change_role(viewer, Role.BILLING, by=admin, actor=actor)
    assert membership(tenant, owner).role == Role.OWNER


@pytest.mark.django_db
def test_the_last_owner_stays() -> None:
    tenant = factories.organization()
    owner = factories.member(tenant)

    for attempt in (
        lambda: members.remove(membership(tenant, owner), by=owner, actor=SYSTEM),
        lambda: members.change_role(membership(tenant, owner), Role.ADMIN, by=owner, actor=SYSTEM),
    ):
        with pytest.raises(NotAllowed, match="needs an owner"):
            attempt()


@pytest.mark.django_db
@pytest.mark.parametrize("becomes", [Role.VIEWER, None])
def test_a_closed_organization_needs_no_owner(becomes: Role | None) -> None:
    tenant = factories.organization()
    owner = factories.member(tenant)
    close_organization(tenant, actor=SYSTEM)
    place, operator = membership(tenant, owner), Actor.staff("root@example.com", None)

    if becomes:
        members.change_role(place, becomes, by=None, actor=operator)
    else:
        members.remove(place, by=None, actor=operator)

    assert not tenant.memberships.filter(role=Role.OWNER).exists()


def test_two_owners_who_leave_at_once_do_not_both_get_away(committed: None) -> None:
    tenant = factories.organization()
    owners = [factories.member(tenant), factories.member(tenant)]
    barrier = threading.Barrier(2)

    def leave(owner: User) -> None:
        try:
            barrier.wait(5)
            members.remove(membership(tenant, owner), by=owner, actor=SYSTEM)
        except NotAllowed:
            pass
        finally:
            connection.close()

    threads = [threading.Thread(target=leave, args=(owner,)) for owner in owners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert tenant.memberships.filter(role=Role.OWNER).count() == 1


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM accounts_membership WHERE organization_id = %s",
        "UPDATE accounts_membership SET role = 'viewer' WHERE organization_id = %s",
    ],
)
def test_the_last_owner_stays_even_by_sql(committed: None, statement: str) -> None:
    tenant = factories.organization()
    factories.member(tenant)

    with pytest.raises(DatabaseError, match="needs an owner"), connection.cursor() as cursor:
        cursor.execute(statement, [tenant.id[4:]])

    assert tenant.memberships.filter(role=Role.OWNER).exists()


@pytest.mark.django_db
def test_handing_over_swaps_the_roles() -> None:
    tenant = factories.organization()
    owner, other = factories.member(tenant), factories.member(tenant, Role.VIEWER)

    members.transfer_ownership(tenant, membership(tenant, other), by=owner, actor=SYSTEM)

    assert membership(tenant, other).role == Role.OWNER
    assert membership(tenant, owner).role == Role.ADMIN


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("becomes", "still_open"),
    [
        (Role.ADMIN, {Role.ADMIN, Role.VIEWER}),
        (Role.DEVELOPER, set()),
        (None, set()),
    ],
)
def test_nobody_is_let_in_any_more_by_who_may_not_invite_to_that(
    becomes: str | None, still_open: set[str]
) -> None:
    tenant = factories.organization()
    owner, other = factories.member(tenant), factories.member(tenant)
    for role in (Role.OWNER, Role.ADMIN, Role.VIEWER):
        members.invite(tenant, f"{role}@example.com", role, by=other, actor=SYSTEM)
    kept = members.invite(tenant, "kept@example.com", Role.OWNER, by=owner, actor=SYSTEM)

    if becomes is None:
        members.remove(membership(tenant, other), by=owner, actor=SYSTEM)
    else:
        members.change_role(membership(tenant, other), becomes, by=owner, actor=SYSTEM)

    waiting = Invitation.objects.filter(organization=tenant, revoked_at=None)
    assert {each.role for each in waiting.exclude(pk=kept.pk)} == still_open
    assert waiting.filter(pk=kept.pk).exists()
    revoked = AuditEvent.objects.filter(organization=tenant, action="invitation.revoked")
    assert revoked.count() == 3 - len(still_open)


@pytest.mark.django_db
def test_an_invitation_is_theirs_who_said_last_as_what() -> None:
    tenant = factories.organization()
    owner, admin = factories.member(tenant), factories.member(tenant, Role.ADMIN)
    other = factories.member(tenant)
    made = members.invite(tenant, "x@example.com", Role.VIEWER, by=admin, actor=SYSTEM)
    made = members.change_invitation(made, Role.OWNER, by=other, actor=SYSTEM)

    members.remove(membership(tenant, admin), by=owner, actor=SYSTEM)
    made.refresh_from_db()
    assert made.is_open
    members.remove(membership(tenant, other), by=owner, actor=SYSTEM)

    made.refresh_from_db()
    assert not made.is_open


@pytest.mark.django_db
def test_the_keys_of_who_leaves_stop_working_and_no_others() -> None:
    tenant = factories.organization()
    owner, leaver = factories.member(tenant), factories.member(tenant, Role.DEVELOPER)
    theirs = factories.key(tenant, created_by=leaver).key
    mine = factories.key(tenant, created_by=owner).key

    members.remove(membership(tenant, leaver), by=leaver, actor=Actor.user(leaver))

    theirs.refresh_from_db()
    mine.refresh_from_db()
    assert (theirs.is_active, mine.is_active) == (False, True)
    assert AuditEvent.objects.filter(organization=tenant, action="key.revoked").count() == 1
    assert AuditEvent.objects.filter(organization=tenant, action="member.left").count() == 1


@pytest.mark.django_db
def test_a_closed_organization_keeps_its_books_and_loses_its_keys() -> None:
    tenant = factories.organization(credit_nano=1_000)
    factories.member(tenant)
    key = factories.key(tenant).key

    close_organization(tenant, actor=SYSTEM)
    close_organization(tenant, actor=SYSTEM)

    key.refresh_from_db()
    tenant.refresh_from_db()
    assert (tenant.status, key.is_active) == ("closed", False)
    assert AuditEvent.objects.filter(organization=tenant, action="organization.closed").count() == 1
    assert not AutomaticTopUp.objects.filter(organization=tenant, enabled=True).exists()


@pytest.mark.django_db
def test_what_is_still_open_keeps_an_organization_open() -> None:
    tenant = factories.organization()
    top_up = factories.top_up(tenant)
    Dispute.objects.create(organization=tenant, top_up=top_up, stripe_id="dp_9", amount_nano=10**9)

    with pytest.raises(CannotClose, match="disputed"):
        close_organization(tenant, actor=SYSTEM)

    tenant.refresh_from_db()
    assert tenant.status == "active"


@pytest.mark.django_db
def test_a_new_name_keeps_the_address() -> None:
    tenant = factories.organization("Old")

    rename_organization(tenant, "  New   name ", actor=SYSTEM)

    event = AuditEvent.objects.get(organization=tenant, action="organization.renamed")
    assert (tenant.name, event.before, event.after) == (
        "New name",
        {"name": "Old"},
        {"name": "New name"},
    )
