"""What holds for every page: nothing unsafe in it, nothing inline, a bound on its queries, nothing cached."""

import gzip
from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError
from django.test import Client
from django.urls import reverse

from routing.listing import listing
from routing.seed.load import load_demo_catalogue
from tests import factories
from tests.web.pages import HOSTILE, safe

pytestmark = pytest.mark.django_db


PUBLIC = [
    "/",
    "/docs/",
    "/models/",
    "/models/deepseek-v3.2/",
    "/models/compare/?m=deepseek-v3.2&m=qwen-plus",
    "/providers/",
    "/providers/deepseek/",
    "/pricing/",
    "/status/",
    "/announcements/",
    "/faq/",
    "/legal/terms/",
    "/legal/privacy/",
    "/legal/sla/",
    "/legal/dpa/",
    "/security/",
    "/contact/",
    "/contact/sent/ABCD2345/",
    "/accounts/login/",
    "/accounts/signup/",
    "/accounts/password/reset/",
    "/accounts/password/reset/done/",
]


@pytest.mark.parametrize("path", PUBLIC)
def test_a_public_page_is_whole_and_needs_nothing_unsafe(
    client: Client, path: str, django_assert_max_num_queries: Any
) -> None:
    load_demo_catalogue("http://127.0.0.1:9")
    listing()
    with django_assert_max_num_queries(5):
        response = client.get(path)

    assert response.status_code == 200
    safe(response)


@pytest.mark.parametrize(
    ("name", "most"), [("overview", 15), ("keys", 12), ("requests", 14), ("preferences", 12)]
)
def test_a_console_page_is_safe_and_bounded_in_queries(
    client: Client, inside: Any, django_assert_max_num_queries: Any, name: str, most: int
) -> None:
    load_demo_catalogue("http://127.0.0.1:9")
    for number in range(30):
        factories.key(inside, name=f"{HOSTILE}{number}")
        factories.usage(inside, key_name=HOSTILE)
    client.get(reverse(name, args=[inside.slug]))

    with django_assert_max_num_queries(most):
        response = client.get(reverse(name, args=[inside.slug]))

    assert response.status_code == 200
    safe(response)


def test_what_is_behind_the_sign_in_is_never_cached(client: Client, inside: Any) -> None:
    for name in ("overview", "keys", "key_new", "preferences", "requests"):
        assert "no-store" in client.get(reverse(name, args=[inside.slug]))["cache-control"]


def test_a_refusal_names_the_roles_that_may(client: Client) -> None:
    tenant = factories.organization()
    client.force_login(factories.member(tenant, "viewer"))

    page = client.get(reverse("key_new", args=[tenant.slug]))

    assert page.status_code == 403
    assert b"Owner, Admin or Developer" in page.content
    assert b"Yours is Viewer" in page.content
    safe(page)


@pytest.mark.parametrize("status", [403, 404])
def test_error_pages_are_whole(client: Client, inside: Any, status: int) -> None:
    page = client.get("/nowhere/" if status == 404 else reverse("admin:index"), follow=True)

    assert page.status_code == status
    assert b"css/app.css" in page.content
    safe(page)


def test_a_form_without_its_token_is_refused_with_a_page_of_ours() -> None:
    page = Client(enforce_csrf_checks=True).post("/accounts/login/", {})

    assert page.status_code == 403
    assert b"too old" in page.content


def test_a_failure_of_ours_has_a_page_that_needs_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr("tokenhub.web.public.home.example_charge", broken)
    client.raise_request_exception = False

    page = client.get("/")

    assert page.status_code == 500
    assert b"css/app.css" in page.content


@pytest.mark.parametrize("shown_in_full", [False, True])
def test_a_page_without_its_database_says_so_and_that_it_is_worth_trying_again(
    client: Client, monkeypatch: pytest.MonkeyPatch, settings: Any, shown_in_full: bool
) -> None:
    monkeypatch.setattr("tokenhub.web.public.home.example_charge", _away)
    settings.DEBUG = shown_in_full
    client.raise_request_exception = False

    page = client.get("/")

    assert page.status_code == 503
    assert page["Retry-After"] == "5"
    assert b"database does not answer" in page.content


def test_a_database_away_before_the_page_is_reached_is_said_too(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "django.contrib.sessions.middleware.SessionMiddleware.process_request", _away
    )
    client.raise_request_exception = False

    page = client.get("/")

    assert page.status_code == 503
    assert b"database does not answer" in page.content


@pytest.mark.parametrize("shown_in_full", [False, True])
def test_who_is_signed_in_is_told_so_too_though_nobody_can_say_who_it_is(
    client: Client, monkeypatch: pytest.MonkeyPatch, settings: Any, shown_in_full: bool
) -> None:
    tenant = factories.organization("Away for a while")
    client.force_login(factories.member(tenant))
    settings.DEBUG = shown_in_full
    client.raise_request_exception = False
    monkeypatch.setattr("django.db.backends.utils.CursorWrapper.execute", _away)

    page = client.get(f"/o/{tenant.slug}/")
    ready = client.get("/readyz")

    assert page.status_code == 503
    assert page["Retry-After"] == "5"
    assert b"database does not answer" in page.content
    assert (ready.status_code, ready.json()["database"]) == (503, "away")


def _away(*_: Any) -> None:
    raise OperationalError


def test_style_and_script_stay_within_their_budget() -> None:
    sizes = {
        name: len(gzip.compress((settings.BASE_DIR / "static" / name).read_bytes(), 9))
        for name in ("css/app.css", "js/app.js")
    }

    assert sizes["css/app.css"] <= 12_000
    assert sizes["js/app.js"] <= 3_000
