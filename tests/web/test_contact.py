"""Contact Us: from people, confirmed, queued, and hard to abuse."""

import re
import time
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.cache import cache
from django.test import Client

from tests import factories
from tests.web.pages import HOSTILE, safe
from tokenhub.web import contact
from tokenhub.web.models import ContactRequest

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_counted(settings: Any) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    cache.clear()


def stamped(seconds_ago: float, monkeypatch: pytest.MonkeyPatch) -> str:
    with monkeypatch.context() as earlier:
        at = time.time() - seconds_ago
        earlier.setattr("django.core.signing.time.time", lambda: at)
        return contact.stamp()


def message(monkeypatch: pytest.MonkeyPatch, **fields: str) -> dict[str, str]:
    return {
        "topic": "compliance", "name": "Ann", "email": factories.marker_address(), "company": "",
        "message": "We need the extension.", "website": "", "shown": stamped(60, monkeypatch), **fields,
    }  # fmt: skip


def test_a_message_is_kept_confirmed_and_passed_on(
    client: Client, monkeypatch: pytest.MonkeyPatch, mailoutbox: list[Any],
    django_capture_on_commit_callbacks: Any, settings: Any,
) -> None:  # fmt: skip
    given = message(monkeypatch)

    with django_capture_on_commit_callbacks(execute=True):
        answer = client.post("/contact/", given)

    made = ContactRequest.objects.get(email=given["email"])
    assert answer["location"] == f"/contact/sent/{made.reference}/"
    assert made.reference in client.get(answer["location"]).content.decode()
    confirmation, passed_on = mailoutbox
    assert (confirmation.to, passed_on.to) == ([given["email"]], [settings.CONTACT_EMAIL])
    assert made.reference in confirmation.subject
    assert passed_on.reply_to == [given["email"]]
    assert (made.status, made.topic) == ("new", "compliance")


def test_who_is_signed_in_is_known(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = factories.organization("Known Ltd")
    person = factories.member(tenant)
    client.force_login(person)

    page = client.get("/contact/?topic=upgrade").content.decode()
    client.post("/contact/", message(monkeypatch, email=person.email))

    assert person.email in page
    assert "Known Ltd" in page
    assert '<option value="upgrade" selected>' in page
    assert ContactRequest.objects.get(email=person.email).organization == tenant


@pytest.mark.parametrize(
    "wrong",
    [
        {"website": "https://spam.example"},
        {"shown": "shown:1:forged"},
        {"shown": ""},
        {"topic": "other"},
        {"email": "nobody"},
        {"message": ""},
        {"message": "x" * 5_001},
        {"name": "x" * 121},
    ],
    ids=lambda wrong: "-".join(wrong),
)
def test_what_is_not_of_a_person_or_not_whole_is_refused(
    client: Client, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str]
) -> None:
    page = client.post("/contact/", message(monkeypatch, **wrong))

    assert page.status_code == 422
    assert not ContactRequest.objects.exists()
    safe(page)


@pytest.mark.parametrize("seconds", [0, 90_000])
def test_too_fast_or_too_late_is_asked_to_send_once_more_and_nothing_is_lost(
    client: Client, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    given = message(monkeypatch, shown=stamped(seconds, monkeypatch), message="A long letter")

    page = client.post("/contact/", given).content.decode()

    assert "send it once more" in page
    assert "A long letter" in page
    (shown,) = re.findall(r'name="shown" value="([^"]+)"', page)
    a_minute_later = time.time() + 60
    monkeypatch.setattr("django.core.signing.time.time", lambda: a_minute_later)
    assert contact.is_of_a_person(shown)


def test_five_an_hour_and_no_more(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    statuses = [client.post("/contact/", message(monkeypatch)).status_code for _ in range(7)]

    assert statuses == [302] * 5 + [429] * 2
    assert ContactRequest.objects.count() == 5


def test_one_address_is_counted_wherever_it_writes_from(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    statuses = [
        client.post(
            "/contact/",
            message(monkeypatch, email="same@example.com"),
            REMOTE_ADDR=f"203.0.113.{n}",
        ).status_code
        for n in range(6)
    ]

    assert statuses == [302] * 5 + [429]


def test_the_mail_has_no_line_of_the_visitors_in_its_head(
    client: Client, monkeypatch: pytest.MonkeyPatch, mailoutbox: list[Any],
    django_capture_on_commit_callbacks: Any,
) -> None:  # fmt: skip
    with django_capture_on_commit_callbacks(execute=True):
        client.post("/contact/", message(monkeypatch, name="Ann\r\nBcc: all@example.com"))

    assert all("Bcc" not in str(mail.extra_headers) and not mail.bcc for mail in mailoutbox)


def test_operators_have_a_queue(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    client.post("/contact/", message(monkeypatch, name=HOSTILE))
    made = ContactRequest.objects.get()
    operator = Client()
    staff = factories.user(is_staff=True, is_superuser=True)
    operator.force_login(staff)

    # As the queue is worked on: by what is new, which is what taking them changes.
    taken = operator.post(
        "/admin/web/contactrequest/?status__exact=new",
        {"action": "take", "_selected_action": [made.pk]},
        follow=True,
    )
    page = operator.get(f"/admin/web/contactrequest/{made.pk}/change/").content.decode()

    made.refresh_from_db()
    assert "1 request is yours now." in taken.content.decode()
    assert (made.status, made.assignee) == ("open", staff)
    assert LogEntry.objects.filter(object_id=made.pk, change_message="Taken").exists()
    assert f"mailto:{made.email}?subject=Your%20message%20{made.reference}" in page
    assert HOSTILE not in page
    assert operator.get("/admin/web/contactrequest/add/").status_code == 403


def test_taking_several_says_how_many(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        client.post("/contact/", message(monkeypatch))
    client.force_login(factories.user(is_staff=True, is_superuser=True))
    ids = list(ContactRequest.objects.values_list("pk", flat=True))

    taken = client.post(
        "/admin/web/contactrequest/", {"action": "take", "_selected_action": ids}, follow=True
    )

    assert "3 requests are yours now." in taken.content.decode()
