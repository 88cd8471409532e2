"""Who is removed is out: in every session, with every key, and on the way of every mailed link (K6)."""

from typing import Any

import pytest
from django.test import Client

from accounts import members
from accounts.audit import SYSTEM, Actor
from accounts.models import Membership
from accounts.roles import Role
from keys.models import ApiKey
from tests import factories
from tests.web.test_access import NEEDS, address

pytestmark = pytest.mark.django_db


def test_who_is_removed_keeps_no_page_no_key_and_no_invitation(client: Client) -> None:
    tenant = factories.organization()
    owner, person = factories.member(tenant), factories.member(tenant, Role.ADMIN)
    made = [factories.key(tenant, created_by=person), factories.key(tenant, kind="management", scopes=["read"], created_by=person)]  # fmt: skip
    kept = factories.key(tenant, created_by=owner)
    sessions = [Client(), Client()]
    for session in sessions:
        session.force_login(person)
        assert session.get(f"/o/{tenant.slug}/").status_code == 200

    found = Membership.objects.get(organization=tenant, user=person)
    members.remove(found, by=owner, actor=Actor.user(owner))

    for session in sessions:
        assert {session.get(address(name, tenant)).status_code for name in NEEDS} <= {404, 405}
    revoked = ApiKey.objects.filter(pk__in=[minted.key.pk for minted in made])
    assert all(key.revoked_at for key in revoked)
    kept.key.refresh_from_db()
    assert kept.key.revoked_at is None


def test_who_is_demoted_loses_the_pages_at_once(client: Client) -> None:
    tenant = factories.organization()
    owner, person = factories.member(tenant), factories.member(tenant, Role.ADMIN)
    client.force_login(person)
    assert client.get(f"/o/{tenant.slug}/members/invite/").status_code == 200

    found = Membership.objects.get(organization=tenant, user=person)
    members.change_role(found, Role.VIEWER, by=owner, actor=Actor.user(owner))

    assert client.get(f"/o/{tenant.slug}/members/invite/").status_code == 403
    assert client.get(f"/o/{tenant.slug}/keys/new/").status_code == 403


def test_the_last_owner_neither_leaves_nor_demotes_nor_is_removed(client: Client) -> None:
    tenant = factories.organization()
    owner = factories.member(tenant)
    found = Membership.objects.get(organization=tenant, user=owner)
    client.force_login(owner)

    client.post(f"/o/{tenant.slug}/members/leave/")
    client.post(f"/o/{tenant.slug}/members/{found.pk}/", {"role": "viewer"})
    client.post(f"/o/{tenant.slug}/members/{found.pk}/remove/")

    found.refresh_from_db()
    assert found.role == Role.OWNER


def test_an_account_that_is_switched_off_is_out_everywhere(client: Client) -> None:
    tenant = factories.organization()
    person = factories.member(tenant)
    client.force_login(person)

    person.is_active = False
    person.save()

    assert client.get(f"/o/{tenant.slug}/").status_code == 302
    answer = Client().post("/accounts/login/", {"login": person.email, "password": factories.PASSWORD})  # fmt: skip
    assert answer["location"] == "/accounts/inactive/"


def test_a_forwarded_invitation_lets_in_nobody_else(
    mailoutbox: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    tenant = factories.organization()
    owner = factories.member(tenant)
    with django_capture_on_commit_callbacks(execute=True):
        members.invite(tenant, "right@example.com", Role.ADMIN, by=owner, actor=SYSTEM)
    link = "/invite/" + mailoutbox[-1].body.split("/invite/")[1].split()[0]
    thief = Client()
    thief.force_login(factories.user())

    assert thief.post(link).status_code == 410
    assert tenant.memberships.count() == 1
