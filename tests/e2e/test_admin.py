"""The operators' pages have no accessibility fault, no error in the console, and do not scroll sideways."""

from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests import factories
from tests.e2e.visitor import faults_of
from tests.live import Gateway
from tests.operations.test_admin import trouble
from tests.processes import Server

PAGES = [
    "/admin/", "/admin/billing/adjustment/add/", "/admin/billing/adjustment/", "/admin/billing/agreement/add/",
    "/admin/accounts/organization/",
    "/admin/operations/taskrun/", "/admin/webhooks/delivery/", "/admin/routing/price/import/",
]  # fmt: skip


def sign_in(page: Page, site: Server, email: str) -> None:
    page.goto(f"{site.url}/accounts/login/?next=/admin/")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(factories.PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url("**/admin/")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_no_page_of_operators_has_a_fault(
    browser: Browser, site: Server, gateway: Gateway, width: int, scheme: Any
) -> None:
    operator = factories.user(is_staff=True, is_superuser=True)
    trouble(operator)
    tenant = factories.organization("Findable")
    page = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    ).new_page()
    told: list[str] = []
    faults: list[str] = []
    sign_in(page, site, operator.email)
    # Before axe looks at a page: it adds styles of its own to the admin's forms.
    page.on(
        "console",
        lambda message: (
            told.append(f"{page.url}: {message.text}") if message.type == "error" else None
        ),
    )

    def look() -> None:
        faults.extend(told)
        faults.extend(faults_of(page))
        told.clear()

    for path in PAGES:
        page.goto(site.url + path)
        look()
    page.goto(f"{site.url}/admin/find/")
    page.locator("#find-q").fill(tenant.slug)
    page.get_by_role("button", name="Find").click()
    page.get_by_role("link", name="Findable").wait_for()
    look()
    page.goto(f"{site.url}/admin/accounts/organization/?q={tenant.slug}")
    page.locator("input[name=_selected_action]").check()
    page.locator("select[name=action]").select_option("suspend")
    page.get_by_role("button", name="Go").click()
    page.get_by_label("Reason").wait_for()
    look()

    assert faults == []
