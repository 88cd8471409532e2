"""Text of strangers is text: in every page of the console and the admin, in CSV, mail and headers (K9)."""

import csv
import html
import io
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import NoReverseMatch, reverse

from accounts.audit import SYSTEM, record
from accounts.forms import SignupForm
from accounts.models import Organization
from accounts.services import rename_organization
from billing.models import Alert
from tests import factories
from tests.live import Stripe
from tests.web.test_access import NEEDS, POST_ONLY, address
from tokenhub.web.contact import submit
from tokenhub.web.models import ContactRequest

pytestmark = pytest.mark.django_db

MARK = "zqxj"
HOSTILE = f'"><script>{MARK}()</script><img src=x onerror={MARK}()>{{{{x}}}}'
FORMULA = f'=HYPERLINK("http://evil.example/{MARK}")'


class _Reader(HTMLParser):
    """Reads a page as a browser does, and notes where the hostile text has become more than text."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: list[str] = []
        self._within = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._within = tag
        for name, value in attrs:
            if MARK in (value or "") and (name.startswith("on") or "javascript:" in (value or "")):
                self.alive.append(f"<{tag} {name}>")
            if MARK in name or MARK in tag:
                self.alive.append(f"<{tag} {name}>")

    def handle_endtag(self, tag: str) -> None:
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within in ("script", "style") and MARK in data:
            self.alive.append(f"<{self._within}>")


def alive_in(page: str) -> list[str]:
    """What of the hostile text would run."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return reader.alive


def test_the_reader_sees_what_would_run() -> None:
    assert alive_in(f'<p title="{HOSTILE}">') == ["<script>", "<img onerror>"]
    assert alive_in(f"<p>{html.escape(HOSTILE)}</p>") == []


def filled(text: str) -> Organization:
    """An organization with the same text wherever somebody may write one."""
    tenant = factories.organization(text[:120], credit_nano=5_000_000_000)
    person = factories.member(tenant)
    person.name = text[:120]
    person.save()
    factories.key(tenant, name=text[:80], created_by=person)
    factories.usage(tenant, key_name=text[:80], session_id=text[:80], model_requested=text[:100])
    factories.profile(
        tenant, legal_name=text[:160], line1=text[:160], city=text[:80], tax_id=text[:40],
        po_number=text[:40], country=text[:60],
    )  # fmt: skip
    factories.charge(tenant, key_name=text[:80])
    factories.announcement(title=text[:120], body=text)
    record(tenant, SYSTEM, "test.happened", text[:120], before={"a": text}, after={text: text})
    Alert.objects.create(
        organization=tenant, kind="budget", threshold=50, window=MARK, message=text[:200]
    )
    submit(
        topic="sales", name=text[:120], email=factories.marker_address(), company=text[:120],
        message=text, organization=tenant, ip_address=None,
    )  # fmt: skip
    return tenant


def content(answer: Any) -> str:
    if answer.streaming:
        return b"".join(answer).decode("utf-8", "replace")
    return str(answer.content.decode("utf-8", "replace"))


def test_no_page_of_the_console_runs_what_somebody_wrote(client: Client, stripe: Stripe) -> None:
    tenant = filled(HOSTILE)
    client.force_login(tenant.memberships.get().user)
    shown, alive = 0, []

    for name in NEEDS:
        if name in POST_ONLY:
            continue
        answer = client.get(address(name, tenant))
        if not answer["content-type"].startswith("text/html"):
            continue
        page = content(answer)
        shown += MARK in page
        if alive_in(page):
            alive.append(name)

    assert alive == []
    assert shown > len(NEEDS) / 2, "the text was not even there"


@pytest.mark.parametrize("path", ["/", "/status/", "/announcements/", "/contact/", "/announcements/feed.atom"])  # fmt: skip
def test_no_public_page_runs_what_somebody_wrote(client: Client, path: str) -> None:
    filled(HOSTILE)

    page = content(client.get(path))

    assert alive_in(page) == []
    # What a feed carries is read as HTML by whoever shows it.
    for summary in re.findall(r'<summary type="html">(.*?)</summary>', page, re.DOTALL):
        assert alive_in(html.unescape(summary)) == []


def test_no_page_of_the_admin_runs_what_a_customer_wrote(client: Client) -> None:
    filled(HOSTILE)
    client.force_login(factories.user(is_staff=True, is_superuser=True))
    shown, alive = 0, []

    for model in admin.site._registry:
        base = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        paths = [reverse(f"{base}_changelist")]
        paths += [
            reverse(f"{base}_change", args=[row.pk]) for row in model._default_manager.all()[:2]
        ]
        for path in paths:
            page = content(client.get(path))
            shown += MARK in page
            if alive_in(page):
                alive.append(path)

    assert alive == []
    assert shown > 5
    assert not LogEntry.objects.exists()


def test_every_csv_is_inert_in_a_spreadsheet(client: Client) -> None:
    tenant = filled(FORMULA)
    client.force_login(tenant.memberships.get().user)
    tried = []

    for name in NEEDS:
        if name in POST_ONLY:
            continue
        try:
            answer = client.get(address(name, tenant))
        except NoReverseMatch:
            continue
        if not answer["content-type"].startswith("text/csv"):
            continue
        text = content(answer)
        tried.append((name, MARK in text))
        for row in csv.reader(io.StringIO(text)):
            for cell in row:
                assert not cell.startswith(("=", "@", "\t", "\r")), (name, cell)
                assert not re.match(r"[+-](?![\d.]+$)", cell), (name, cell)
        assert answer["x-content-type-options"] == "nosniff"
        assert "attachment" in answer["content-disposition"]

    assert len(tried) >= 5
    assert sum(there for _, there in tried) >= 2, "the text was in none of them"


NEW_LINE = "Acme\r\nBcc: all@evil.example\r\nX: y"


def test_a_line_end_in_a_name_is_in_no_head_of_a_mail_and_no_header(
    client: Client, mailoutbox: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    tenant = factories.organization()
    person = factories.member(tenant)
    rename_organization(tenant, NEW_LINE, actor=SYSTEM)
    client.force_login(person)

    with django_capture_on_commit_callbacks(execute=True):
        client.post(
            f"/o/{tenant.slug}/members/invite/",
            {"email": factories.marker_address(), "role": "viewer"},
        )
        submit(
            topic="sales", name=NEW_LINE, email=factories.marker_address(), company=NEW_LINE,
            message="Hello", organization=tenant, ip_address=None,
        )  # fmt: skip

    assert len(mailoutbox) == 3
    for mail in mailoutbox:
        head = mail.message().as_string().split("\n\n")[0]
        assert "\nBcc:" not in head
        assert "\nX: y" not in head
    tenant.refresh_from_db()
    assert "\n" not in tenant.name


@pytest.mark.parametrize("value", ["x\r\nset-cookie: a=b", "%0d%0aset-cookie:%20a=b", "x\nlocation: //evil"])  # fmt: skip
def test_a_line_end_in_an_address_splits_no_answer(client: Client, value: str) -> None:
    person = factories.user()

    answers = [
        client.post("/accounts/login/", {"login": person.email, "password": factories.PASSWORD, "next": "/" + value}),
        client.get(f"/models/{value}/"),
        client.get("/docs/search/", {"q": value}),
    ]  # fmt: skip

    for answer in answers:
        assert all("\n" not in header for header in answer.headers.values())
        assert "a" not in answer.cookies


def test_a_name_of_control_characters_is_no_name() -> None:
    form = SignupForm({"email": "a@example.com", "organization": "A\x00B", "password1": "x"})

    assert not form.is_valid()
    assert ContactRequest.objects.count() == 0
