"""What people do in a browser, and what is looked for on every page they see."""

from typing import Literal

from axe_playwright_python.sync_playwright import Axe
from django.utils.html import strip_tags
from playwright.sync_api import Page

from accounts.models import User
from tests import factories
from tests.processes import Server
from tokenhub.web.templatetags.formats import usd_column

AXE = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
}

WAYS: list[tuple[int, Literal["light", "dark"]]] = [
    (1280, "light"), (1280, "dark"), (390, "dark"), (390, "light"),
]  # fmt: skip


def sign_in(page: Page, site: Server, person: User) -> None:
    """By address and password, to the overview."""
    page.goto(f"{site.url}/accounts/login/")
    page.get_by_label("Email").fill(person.email)
    page.get_by_label("Password").fill(factories.PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url("**/o/**")


def left(amount_nano: int) -> str:
    """What the playground's head says is left to spend."""
    return strip_tags(usd_column(amount_nano))


def faults_in_every_way(page: Page) -> list[str]:
    """The faults of a page on a desktop and a phone, light and dark, without loading it anew."""
    found = []
    for width, scheme in WAYS:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        found += [f"{scheme}: {fault}" for fault in faults_of(page)]
    return found


def faults_of(page: Page) -> list[str]:
    """Accessibility violations of the page as it is now, and whether it scrolls sideways."""
    page.evaluate("scrollTo(0, 0)")  # where the fixed bar covers nothing
    width = page.viewport_size["width"] if page.viewport_size else 0
    where = f"{page.url} at {width}"
    found = [
        f"{where}: {violation['id']}: {violation['nodes'][0]['html'][:160]}"
        for violation in Axe().run(page, options=AXE).response["violations"]
    ]
    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        found.append(f"{where}: scrolls sideways")
    return found
