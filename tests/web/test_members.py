"""The rooms about people: inviting, joining, changing, leaving, and proof of it all."""

import csv
import html
import io
import re
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

import pytest
from django.test import Client
from django.urls import reverse

from accounts.audit import SYSTEM, record
from accounts.models import AuditEvent, Invitation, Membership
from accounts.roles import PERMISSIONS, Permission, Role
from keys.services import rotate
from tests import factories
from tests.web.pages import HOSTILE, safe

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


def go(name: str, tenant: Any, *arguments: object) -> str:
    return reverse(name, args=[tenant.slug, *arguments])


def invite(
    client: Client,
    tenant: Any,
    email: str,
    mailoutbox: list[Any],
    capture: Any,
    role: str = "developer",
) -> str:
    with capture(execute=True):
        answer = client.post(go("member_invite", tenant), {"email": email, "role": role})
    assert answer.status_code == 302, answer.content.decode()
    found = re.search(r"(/invite/[\w-]+/)", mailoutbox[-1].body)
    assert found is not None
    return found.group(1)


def test_an_invited_person_joins_and_may_do_what_the_role_allows(
    client: Client, inside: Any, mailoutbox: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    person = factories.user()
    link = invite(client, inside, person.email, mailoutbox, django_capture_on_commit_callbacks)
    guest = Client()

    page = guest.get(link)
    assert f"/accounts/login/?next={link}" in page.content.decode()
    entrances = re.findall(r'href="(/accounts/(?:login|signup)/[^"]*)"', page.content.decode())
    assert all(f"?next={link}" in entrance for entrance in entrances)  # whichever way one takes
    assert page["referrer-policy"] == "same-origin"
    safe(page)
    guest.force_login(person)
    joined = guest.post(link, follow=True)

    assert joined.redirect_chain[-1][0] == go("overview", inside)
    assert guest.get(go("key_new", inside)).status_code == 200
    assert guest.get(go("member_invite", inside)).status_code == 403
    assert guest.get(link).status_code == 410


def test_the_wrong_person_is_told_whose_it_is(
    client: Client, inside: Any, mailoutbox: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    link = invite(
        client, inside, "right@example.com", mailoutbox, django_capture_on_commit_callbacks
    )
    other = Client()
    other.force_login(factories.user())

    page = other.post(link)

    assert page.status_code == 410
    assert "This invitation is for right@example.com" in page.content.decode()
    assert Client().get("/invite/nonsense/").status_code == 404
    assert Client().post(link).status_code == 403


def test_an_invitation_is_sent_again_and_taken_back(
    client: Client, inside: Any, mailoutbox: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    first = invite(client, inside, "a@example.com", mailoutbox, django_capture_on_commit_callbacks)
    second = invite(client, inside, "a@example.com", mailoutbox, django_capture_on_commit_callbacks)
    [waiting] = client.get(go("members", inside)).context["invitations"]

    client.post(go("invitation_revoke", inside, waiting.id))

    assert first != second
    assert Client().get(first).status_code == 410
    assert Client().get(second).status_code == 410
    assert list(client.get(go("members", inside)).context["invitations"]) == []


def test_the_matrix_is_what_is_enforced(client: Client, inside: Any) -> None:
    page = client.get(go("members", inside))

    for permission, (label, cells) in zip(Permission, page.context["matrix"], strict=True):
        assert label in html.unescape(page.content.decode())
        assert cells == [permission in PERMISSIONS[role] for role in Role]
    safe(page)


def test_a_role_is_changed_and_a_member_removed(client: Client, inside: Any) -> None:
    person = factories.member(inside, Role.VIEWER)
    found = Membership.objects.get(organization=inside, user=person)
    factories.key(inside, created_by=person)
    assert "1 API key that this member made or was the last to rotate is revoked" in client.get(
        go("member", inside, found.pk)
    ).content.decode()  # fmt: skip

    client.post(go("member", inside, found.pk), {"role": "billing"})
    found.refresh_from_db()
    assert found.role == Role.BILLING
    client.post(go("member_remove", inside, found.pk))

    theirs = Client()
    theirs.force_login(person)
    assert theirs.get(go("overview", inside)).status_code == 404


def test_who_leaves_or_is_removed_is_told_of_the_keys_they_rotated_too(
    client: Client, inside: Any
) -> None:
    owner, person = (factories.member(inside, role) for role in (Role.OWNER, Role.DEVELOPER))
    place = Membership.objects.get(organization=inside, user=person)
    factories.key(inside, created_by=person)
    last, before, over = (factories.key(inside, created_by=owner).key for _ in range(3))
    for key, grace in ((last, DAY), (before, DAY), (over, timedelta(0))):
        rotate(key, grace=DAY, actor=SYSTEM, rotated_by=person)
        if key is not last:
            rotate(key, grace=grace, actor=SYSTEM, rotated_by=owner)
    theirs = Client()
    theirs.force_login(person)

    removing = client.get(go("member", inside, place.pk)).content.decode()
    leaving = theirs.get(go("member_leave", inside)).content.decode()

    assert "2 API keys that this member made or was the last to rotate are revoked" in removing
    assert "2 API keys that you made or were the last to rotate are revoked" in leaving
    for page in (removing, leaving):
        assert "1 other key goes on, but the old secret" in page
    theirs.post(go("member_leave", inside))
    trail = AuditEvent.objects.filter(organization=inside)
    assert trail.filter(action="key.revoked").count() == 2
    assert trail.filter(action="key.grace_ended").count() == 1


def test_the_last_owner_is_told_what_to_do(client: Client, inside: Any) -> None:
    page = client.post(go("member_leave", inside), follow=True)

    assert "Make somebody else one first" in page.content.decode()
    assert client.get(go("overview", inside)).status_code == 200


def test_members_of_another_organization_are_not_found(client: Client, inside: Any) -> None:
    theirs = Membership.objects.get(user=factories.member(factories.organization()))

    assert client.get(go("member", inside, theirs.pk)).status_code == 404
    assert client.post(go("member_remove", inside, theirs.pk)).status_code == 404
    client.post(go("settings_transfer", inside), {"to": theirs.pk})
    assert client.post(go("settings_transfer", inside), {"to": "x"}).status_code == 302
    theirs.refresh_from_db()
    assert theirs.role == Role.OWNER


def test_a_change_of_members_asks_who_signed_in_long_ago_to_do_so_again(
    client: Client, inside: Any, settings: Any
) -> None:
    settings.ACCOUNT_REAUTHENTICATION_TIMEOUT = 0

    answer = client.post(go("member_invite", inside), {"email": "a@example.com", "role": "viewer"})

    assert answer["location"].startswith("/accounts/reauthenticate/")
    assert not Invitation.objects.filter(organization=inside).exists()
    settings.ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
    client.post(answer["location"], {"password": factories.PASSWORD})
    made = Invitation.objects.get(organization=inside)

    settings.ACCOUNT_REAUTHENTICATION_TIMEOUT = 0
    answer = client.post(reverse("invitation_revoke", args=[inside.slug, made.id]))
    assert answer["location"].startswith("/accounts/reauthenticate/")
    made.refresh_from_db()
    assert made.revoked_at is None


@pytest.mark.parametrize(
    "name", ["key_new", "billing_profile", "automatic_top_up", "settings_close"]
)
def test_keys_billing_and_closing_ask_too(
    client: Client, inside: Any, settings: Any, name: str
) -> None:
    settings.ACCOUNT_REAUTHENTICATION_TIMEOUT = 0

    answer = client.get(go(name, inside))

    assert unquote(answer["location"]) == f"/accounts/reauthenticate/?next={go(name, inside)}"
    assert client.get(answer["location"]).status_code == 200


def test_closing_says_what_is_lost_and_needs_the_address(client: Client, inside: Any) -> None:
    page = client.get(go("settings_close", inside))
    assert "$2.50" in page.content.decode()

    wrong = client.post(go("settings_close", inside), {"slug": "other", "give_up": "on"})
    kept = client.post(go("settings_close", inside), {"slug": inside.slug})
    assert (wrong.status_code, kept.status_code) == (422, 422)
    done = client.post(
        go("settings_close", inside), {"slug": inside.slug, "give_up": "on"}, follow=True
    )

    assert done.redirect_chain[-1][0] == reverse("organization_new")
    assert client.get(go("overview", inside)).status_code == 404
    inside.refresh_from_db()
    assert inside.status == "closed"


def test_settings_change_the_name_for_those_who_may(client: Client, inside: Any) -> None:
    client.post(go("settings", inside), {"name": "Another"})
    viewer = Client()
    viewer.force_login(factories.member(inside, Role.VIEWER))

    assert viewer.post(go("settings", inside), {"name": "Mine"}).status_code == 403
    inside.refresh_from_db()
    assert inside.name == "Another"


def test_the_trail_says_who_changed_what_from_where(client: Client, inside: Any) -> None:
    client.post(go("settings", inside), {"name": "Another"}, REMOTE_ADDR="203.0.113.7")
    record(inside, SYSTEM, "plan.changed", HOSTILE, before={"plan": "pro"}, after={"plan": "=1+1"})

    page = client.get(go("audit", inside))
    rows = list(csv.DictReader(io.StringIO(b"".join(client.get(go("audit_csv", inside))).decode())))  # type: ignore[arg-type]

    assert "203.0.113.7" in page.content.decode()
    assert {row["action"] for row in rows} >= {"organization.renamed", "plan.changed"}
    assert len(rows) == AuditEvent.objects.filter(organization=inside).count()
    safe(page)


def test_the_csv_is_exactly_what_the_filters_leave(client: Client, inside: Any) -> None:
    for number in range(60):
        record(inside, SYSTEM, "key.created", f"key_{number}")

    first = client.get(go("audit", inside), {"what": "key."})
    older = client.get(go("audit", inside) + "?" + first.context["older"])
    rows = b"".join(client.get(go("audit_csv", inside), {"what": "key."})).decode().splitlines()  # type: ignore[arg-type]

    assert len(first.context["page"]) == 50
    assert len(first.context["page"]) + len(older.context["page"]) == len(rows) - 1 == 60
    assert client.get(go("audit", inside), {"before": "nonsense"}).status_code == 404
    assert client.get(go("audit", inside), {"from": "x", "who": "nobody"}).status_code == 200


def test_the_trail_of_others_is_never_seen(client: Client, inside: Any) -> None:
    other = factories.organization()
    record(other, SYSTEM, "secret.thing", "theirs")

    assert "secret.thing" not in client.get(go("audit", inside)).content.decode()
    assert b"secret.thing" not in b"".join(client.get(go("audit_csv", inside)))  # type: ignore[arg-type]
