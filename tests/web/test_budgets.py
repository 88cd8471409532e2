"""UX.md §4 where it is no time: queries, requests, bytes of HTML, script, style and fonts, for every page."""

import gzip
import re
from typing import Any

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from routing.listing import listing
from routing.seed.load import load_demo_catalogue
from tests import factories
from tests.live import Stripe
from tests.web.pages import safe
from tests.web.routes import Route, site_routes
from tests.web.test_access import NEEDS, POST_ONLY, address

pytestmark = pytest.mark.django_db

LIST_QUERIES, OVERVIEW_QUERIES, PUBLIC_QUERIES = 12, 15, 5
CONSOLE_HTML, PUBLIC_HTML = 15_000, 20_000
CONSOLE_SCRIPT, PUBLIC_SCRIPT, STYLE, FONTS = 25_000, 20_000, 12_000, 65_000
COLD_REQUESTS, WARM_REQUESTS = 10, 2
# What sums an organization up at a glance.
OVERVIEWS = {"overview", "billing"}
# A picture of the code to scan is in it.
MORE_HTML = {"mfa_activate_totp": 16_000}


def fetch(client: Client, path: str) -> tuple[Any, int]:
    """The answer, and how many reads and writes it took; marks of a transaction are none."""
    with CaptureQueriesContext(connection) as caught:
        response = client.get(path)
    marks = ("SAVEPOINT", "RELEASE", "ROLLBACK", "SET LOCAL")
    return response, sum(not query["sql"].startswith(marks) for query in caught.captured_queries)


def weigh(page: str) -> dict[str, int]:
    """The compressed bytes of what a page loads, by kind."""
    found = {"js": 0, "css": 0}
    for path in set(re.findall(r'(?:src|href)="/static/([^"]+\.(?:js|css))"', page)):
        file = finders.find(path)
        assert file, path
        with open(file, "rb") as content:
            found[path.rpartition(".")[2]] += len(gzip.compress(content.read(), 9))
    return found


def requests_of(page: str) -> tuple[int, int]:
    """How much a browser asks for that was never here, and for one that was.

    A static file's name has a digest in production (`deploy/test_image.py` sees it served so): it is asked for once.
    """
    files = set(re.findall(r'(?:src|href)="(/static/[^"]+\.(?!woff2)\w+)"', page))
    others = re.findall(r'\ssrc="(?!/static/|data:)[^"]+"|hx-trigger="[^"]*\bload\b', page)
    fonts = list((settings.BASE_DIR / "static" / "fonts").glob("*.woff2"))
    return 1 + len(files) + len(fonts) + len(others), 1 + len(others)


@pytest.mark.parametrize("signed_in", [False, True])
def test_every_page_of_the_site_keeps_to_its_budget(client: Client, signed_in: bool) -> None:
    load_demo_catalogue("http://127.0.0.1:9")
    if signed_in:
        person = factories.user()
        client.post("/accounts/login/", {"login": person.email, "password": factories.PASSWORD})
    client.get("/security/")
    listing()  # it stays in memory until the catalogue changes

    over = [fault for route in site_routes() for fault in _over_the_site(client, route, signed_in)]

    assert over == []


def _over_the_site(client: Client, route: Route, signed_in: bool) -> list[str]:
    response, queries = fetch(client, route.path())
    assert response.status_code in (200, 302, 401, 404, 405), route
    if response.status_code != 200 or not response["content-type"].startswith("text/html"):
        return []
    safe(response)
    # Being signed in takes two.
    most = PUBLIC_QUERIES if route.kind == "public" else LIST_QUERIES
    html = MORE_HTML.get(route.name, PUBLIC_HTML)
    return _over(route.name, response, queries, most + 2 * signed_in, html, PUBLIC_SCRIPT)


def test_every_page_of_the_console_keeps_to_its_budget(client: Client, stripe: Stripe) -> None:
    load_demo_catalogue("http://127.0.0.1:9")
    tenant = factories.organization(credit_nano=1_000_000_000)
    client.force_login(factories.member(tenant))
    factories.announcement()
    factories.alert(tenant)
    for _ in range(51):
        factories.usage(tenant)
    over: list[str] = []

    for name in NEEDS:
        if name in POST_ONLY:
            continue
        path = address(name, tenant)
        client.get(path)
        response, queries = fetch(client, path)
        most = OVERVIEW_QUERIES if name in OVERVIEWS else LIST_QUERIES
        over += _over(name, response, queries, most, CONSOLE_HTML, CONSOLE_SCRIPT)

    assert over == []


def _over(name: str, response: Any, queries: int, most: int, html: int, script: int) -> list[str]:
    """What a page takes more of than it may."""
    taken = {"queries": (queries, most)}
    if not response.streaming and response["content-type"].startswith("text/html"):
        weight = weigh(response.content.decode())
        cold, warm = requests_of(response.content.decode())
        taken |= {
            "bytes of HTML": (len(gzip.compress(response.content)), html),
            "bytes of script": (weight["js"], script),
            "bytes of style": (weight["css"], STYLE),
            "requests, cold": (cold, COLD_REQUESTS),
            "requests, warm": (warm, WARM_REQUESTS),
        }
    return [
        f"{name}: {used} {what}, not {limit}"
        for what, (used, limit) in taken.items()
        if used > limit
    ]


def test_fonts_stay_within_their_budget() -> None:
    fonts = (settings.BASE_DIR / "static" / "fonts").glob("*.woff2")

    assert sum(font.stat().st_size for font in fonts) <= FONTS


def test_a_page_that_weighs_nothing_would_be_noticed(client: Client) -> None:
    page = client.get("/").content.decode()
    weight = weigh(page)

    assert weight["js"] > 500
    assert weight["css"] > 3_000
    assert requests_of(page)[0] > 5
    assert requests_of(page + '<img src="/a"><p hx-trigger="load, every 5s">')[1] == 3
