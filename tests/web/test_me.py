"""The pages of a person: profile, security, appearance, notifications, export, the end of an account."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from allauth.usersessions.models import UserSession
from django.core import mail
from django.test import Client
from django.urls import reverse

from accounts.audit import Actor
from accounts.models import AuditEvent, Membership, User
from accounts.notifications import Channels, choose
from billing.alerts import tell
from billing.models import Alert
from keys.models import ApiKey
from keys.services import mint
from tests import factories
from tests.web.pages import HOSTILE, safe
from tests.web.routes import site_routes
from tokenhub.web.notifications import mail_announcements

pytestmark = pytest.mark.django_db
PAGES = [route.path() for route in site_routes() if route.kind == "person"]


@pytest.fixture
def me(client: Client) -> User:
    """Somebody signed in by their password."""
    person = factories.user()
    client.post("/accounts/login/", {"login": person.email, "password": factories.PASSWORD})
    return person


@pytest.mark.parametrize("path", PAGES)
def test_nobody_is_asked_to_sign_in(client: Client, path: str) -> None:
    response = client.get(path)

    assert response.status_code in (302, 405)
    if response.status_code == 302:
        assert response["location"].startswith("/accounts/login/")


@pytest.mark.parametrize("path", PAGES)
def test_pages_are_whole_private_and_bounded_in_queries(
    client: Client, me: User, path: str, django_assert_max_num_queries: Any
) -> None:
    client.get("/me/profile/")
    with django_assert_max_num_queries(12):
        response = client.get(path)

    assert response.status_code in (200, 302, 405)
    if response.status_code == 200:
        assert "no-store" in response["cache-control"] or path.endswith(".json")
        if response["content-type"].startswith("text/html"):
            safe(response)


def another_browser(person: User, name: str) -> tuple[Client, UserSession]:
    """Signed in as a person, and how that is on record: as allauth notes it at its sign-in page."""
    browser = Client()
    browser.force_login(person)
    session_key = browser.session.session_key
    return browser, UserSession.objects.create(
        user=person, session_key=session_key, ip="203.0.113.7", user_agent=name
    )


def test_one_other_session_is_ended_at_its_next_request_and_no_third(
    client: Client, me: User, mailoutbox: list[Any]
) -> None:
    lost, session = another_browser(me, "Lost phone")
    kept, _ = another_browser(me, "Work laptop")
    assert lost.get("/me/profile/").status_code == 200
    page = client.get("/accounts/sessions/")
    safe(page)
    shown = page.content.decode()
    assert shown.count(">This one<") == 1
    assert shown.count(">Sign out<span") == 2

    answer = client.post(reverse("me_session_end", args=[session.pk]), follow=True)

    assert answer.redirect_chain[-1][0] == "/accounts/sessions/"
    assert "That browser is signed out." in answer.content.decode()
    assert "Lost phone" not in answer.content.decode()
    assert lost.get("/me/profile/")["location"].startswith("/accounts/login/")
    assert kept.get("/me/profile/").status_code == 200
    assert client.get("/me/profile/").status_code == 200
    # As with signing out all the others: it shuts a door, and nobody is mailed of it.
    assert mailoutbox == []


def test_only_ones_own_other_sessions_are_found(client: Client, me: User) -> None:
    somebody, theirs = another_browser(factories.user(), "Somebody else")
    mine = UserSession.objects.get(session_key=client.session.session_key)

    for session_id in (theirs.pk, mine.pk, 2_000_000_000):
        answer = client.post(reverse("me_session_end", args=[session_id]))
        assert answer.status_code == 404, session_id

    assert somebody.get("/me/profile/").status_code == 200
    assert client.get("/me/profile/").status_code == 200


def test_another_sites_form_signs_nobody_out(client: Client, me: User) -> None:
    other, session = another_browser(me, "Work laptop")
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = client.cookies

    answer = strict.post(reverse("me_session_end", args=[session.pk]))

    assert answer.status_code == 403
    assert other.get("/me/profile/").status_code == 200


def test_a_name_is_saved_and_shown_to_members(client: Client, me: User) -> None:
    client.post("/me/profile/", {"name": "Ada"})

    me.refresh_from_db()
    assert me.display_name == "Ada"


def test_the_chosen_theme_comes_with_the_page(client: Client, me: User) -> None:
    assert b"data-theme=" not in client.get("/me/appearance/").content.split(b"<head>")[0]

    client.post("/me/appearance/", {"theme": "dark"})

    page = client.get("/pricing/").content.split(b"<head>")[0]
    assert b'data-theme="dark"' in page
    me.refresh_from_db()
    assert not me.keyboard_shortcuts
    assert client.post("/me/appearance/", {"theme": "pink"}).status_code == 422


def test_the_matrix_is_saved_and_what_is_always_mailed_stays(client: Client, me: User) -> None:
    client.post("/me/notifications/", {"balance-in_app": "on", "news-email": "on"})

    rows = {row[0]: row[2] for row in client.get("/me/notifications/").context["rows"]}
    assert rows["balance"] == Channels(in_app=True, email=False)
    assert rows["news"] == Channels(in_app=False, email=True)
    assert rows["security"].email
    assert rows["invoices"].email


def test_notifications_come_from_all_my_organizations_and_from_no_other(
    client: Client, me: User
) -> None:
    mine, other, foreign = (factories.organization(name) for name in ("Mine", "Other", "Foreign"))
    for tenant in (mine, other):
        Membership.objects.create(organization=tenant, user=me, role="billing")
    for tenant in (mine, other, foreign):
        tell(tenant, Alert.Kind.LOW_BALANCE, threshold=1, window="a", message=f"low at {tenant}")
    factories.announcement(title="To everybody")
    factories.announcement(title="To pro", plans=["pro"])

    titles = [notice.title for notice in client.get("/notifications/").context["notices"]]

    assert {"low at Mine", "low at Other", "News: To everybody"} <= set(titles)
    assert not [title for title in titles if "Foreign" in title or "To pro" in title]


def test_reading_is_ones_own_and_hides_the_banner_for_oneself_alone(
    client: Client, me: User
) -> None:
    tenant = factories.organization()
    Membership.objects.create(organization=tenant, user=me, role="owner")
    tell(tenant, Alert.Kind.LOW_BALANCE, threshold=1, window="a", message="It is low")
    [notice] = client.get("/notifications/").context["notices"]
    assert b"It is low" in client.get(f"/o/{tenant.slug}/").content

    client.post("/notifications/read/", {"key": notice.key})

    assert client.get("/notifications/").context["unread"] == 0
    assert not client.get("/notifications/?show=unread").context["notices"]
    assert b"It is low" not in client.get(f"/o/{tenant.slug}/").content
    colleague = Client()
    colleague.force_login(factories.member(tenant))
    assert b"It is low" in colleague.get(f"/o/{tenant.slug}/").content


def test_a_notice_of_others_cannot_be_read_for_them(client: Client, me: User) -> None:
    tenant = factories.organization()
    alert = factories.alert(tenant)
    watcher = factories.member(tenant)

    client.post("/notifications/read/", {"key": f"alert-{alert.pk}"})
    client.post("/notifications/read/", {"key": "all"})
    client.post("/notifications/read/", {"key": "nonsense-x"})

    other = Client()
    other.force_login(watcher)
    assert other.get("/notifications/").context["unread"] == 1


def test_what_is_not_wanted_in_the_console_is_not_shown_there(client: Client, me: User) -> None:
    tenant = factories.organization()
    Membership.objects.create(organization=tenant, user=me, role="owner")
    tell(tenant, Alert.Kind.LOW_BALANCE, threshold=1, window="a", message="It is low")
    factories.announcement(title="Some news")
    choose(me, {"balance": Channels(False, True), "news": Channels(False, False)})

    assert client.get("/notifications/").context["notices"] == []
    overview = client.get(f"/o/{tenant.slug}/").content
    assert b"It is low" not in overview
    assert b"Some news" not in overview


def test_incidents_are_mailed_once_and_news_never(client: Client) -> None:
    tenant, pro = factories.organization(), factories.organization(plan="pro")
    wants, quiet, on_pro = (factories.member(each) for each in (tenant, tenant, pro))
    choose(quiet, {"incidents": Channels(in_app=True, email=False)})
    factories.announcement(title="Outage", severity="incident")
    factories.announcement(title="For pro", severity="maintenance", plans=["pro"])
    factories.announcement(title="Only news")
    old = datetime.now(UTC) - timedelta(days=3)
    factories.announcement(title="Long ago", severity="incident", published_at=old)

    mail_announcements()
    mail_announcements()

    told = {
        person: sorted(m.subject.rpartition(": ")[2] for m in mail.outbox if person.email in m.to)
        for person in (wants, quiet, on_pro)
    }
    assert told == {wants: ["Outage"], quiet: [], on_pro: ["For pro", "Outage"]}


def test_the_export_holds_what_is_known_and_no_secret(client: Client, me: User) -> None:
    tenant = factories.organization("Exported")
    Membership.objects.create(organization=tenant, user=me, role="owner")
    client.post(f"/o/{tenant.slug}/preferences/", {"strategy": "price"})

    response = client.get("/me/export/data.json")

    data = response.json()
    assert "attachment" in response["content-disposition"]
    assert data["account"]["email"] == me.email
    assert data["organizations"][0]["name"] == "Exported"
    assert data["actions"][0]["action"] == "preferences.changed"
    assert data["sessions"]
    assert me.password not in response.content.decode()


def test_the_only_owner_cannot_leave_an_organization_without_one(client: Client, me: User) -> None:
    tenant = factories.organization("Mine Alone")
    Membership.objects.create(organization=tenant, user=me, role="owner")

    page = client.get("/me/delete/")
    refused = client.post("/me/delete/", {"email": me.email})

    assert b"Mine Alone" in page.content
    assert refused.status_code == 422
    assert User.objects.filter(pk=me.pk).exists()


def test_an_account_is_deleted_with_its_keys_and_sessions_and_the_trail_stays(
    client: Client, me: User, django_capture_on_commit_callbacks: Any
) -> None:
    tenant = factories.organization()
    factories.member(tenant)
    Membership.objects.create(organization=tenant, user=me, role="owner")
    key = mint(tenant, "mine", actor=Actor.user(me), created_by=me).key
    elsewhere = Client()
    elsewhere.post("/accounts/login/", {"login": me.email, "password": factories.PASSWORD})

    assert client.post("/me/delete/", {"email": "somebody@else"}).status_code == 422
    with django_capture_on_commit_callbacks(execute=True):
        done = client.post("/me/delete/", {"email": me.email.upper()})

    assert done["location"] == "/"
    assert not User.objects.filter(pk=me.pk).exists()
    assert elsewhere.get("/me/profile/").status_code == 302
    assert ApiKey.objects.get(pk=key.pk).revoked_at is not None
    left = AuditEvent.objects.get(organization=tenant, action="member.left")
    assert left.actor == me.email
    assert [m.subject for m in mail.outbox if me.email in m.to] == ["TokenHub: your account was deleted"]  # fmt: skip


def test_deleting_and_exporting_need_a_recent_sign_in(client: Client, me: User) -> None:
    session = client.session
    for record in session["account_authentication_methods"]:
        record["at"] -= 100_000
    session["signed_in_at"] = 0
    session.save()

    for path in ("/me/delete/", "/me/export/data.json"):
        assert client.get(path)["location"].startswith("/accounts/reauthenticate/")


def test_a_session_is_told_by_its_browsers_name_and_by_what_it_said(
    client: Client, me: User
) -> None:
    said = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Chrome/140.0.0.0 Safari/537.36"
    another_browser(me, said)
    another_browser(me, HOSTILE)

    page = client.get("/accounts/sessions/")

    safe(page)
    shown = page.content.decode()
    assert "<summary>Chrome on macOS</summary>" in shown
    assert said in shown
    assert "<summary>Unknown browser</summary>" in shown


def test_pages_of_ones_account_are_written_as_all_others_are(client: Client, me: User) -> None:
    two_factor = client.get("/accounts/2fa/").content.decode()
    password = client.get("/accounts/password/change/").content.decode()

    assert "Two-factor authentication" in " ".join(two_factor.split())
    assert "Authenticator app" in two_factor
    assert ">New password (again)</label>" in password
