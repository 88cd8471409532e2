"""From nobody to a first call that is explained, as a customer goes it."""

import re
from typing import Any

import pytest
from playwright.sync_api import Browser, expect
from playwright.sync_api import Error as PlaywrightError

from accounts.models import Organization
from tests import factories
from tests.e2e.visitor import sign_in
from tests.live import Gateway
from tests.processes import Server, eventually


def test_from_sign_up_to_the_first_call_explained(
    browser: Browser, site: Server, gateway: Gateway
) -> None:
    page = browser.new_page()
    email = factories.marker_address()

    page.goto(f"{site.url}/accounts/signup/")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Company or project").fill("Journey Ltd")
    page.get_by_label("Password").fill("a long pass phrase")
    page.get_by_role("button", name="Create account").click()
    page.get_by_label("Code").fill(eventually(lambda: _code(browser, site, email)))
    page.get_by_role("button", name="Confirm").click()
    page.wait_for_url("**/o/journey-ltd*/")
    page.get_by_role("link", name="Create an API key").click()
    page.get_by_role("link", name="Create the first key").click()
    page.get_by_label("Name").fill("my program")
    page.get_by_role("button", name="Create key").click()
    secret = page.locator("#secret").inner_text()
    tenant = Organization.objects.get(memberships__user__email=email)
    factories.credit(tenant, 1_000_000_000)

    response = Gateway(site.url, gateway.providers).chat(secret)

    assert response.status_code == 200
    page.get_by_role("link", name="I have saved it").click()
    expect(page.locator("#secret")).to_have_count(0)
    page.wait_for_load_state()
    assert secret not in page.content()
    with pytest.raises(PlaywrightError, match="ERR_CACHE_MISS"):  # nothing was kept to go back to
        page.go_back()
    # The browser's own error page is still on its way.
    assert secret not in eventually(lambda: _content(page))
    page.goto(f"{site.url}/o/{tenant.slug}/")
    page.get_by_role("link", name="Requests", exact=True).click()
    page.get_by_role("link", name=re.compile("req_")).click()
    page.wait_for_url("**/requests/req_*/")
    cost = response.headers["x-tokenhub-cost-usd"]
    assert f"billed ${cost}" in page.content()


def _content(page: Any) -> str:
    try:
        text: str = page.content()
    except PlaywrightError:
        return ""
    return text


def _code(browser: Browser, site: Server, email: str) -> str:
    mail = browser.new_page()
    mail.goto(f"{site.url}/dev/mailbox/")
    section = mail.locator("section", has_text=email).first
    text = section.inner_text() if section.count() else ""
    mail.close()
    found = re.search(r"^([A-Z0-9-]{6,9})$", text, re.MULTILINE)
    return found.group(1) if found else ""


def test_keys_are_created_and_requests_filtered_without_javascript(
    browser: Browser, site: Server, gateway: Gateway
) -> None:
    tenant = factories.organization()
    page = browser.new_context(java_script_enabled=False).new_page()
    sign_in(page, site, factories.member(tenant))

    page.goto(f"{site.url}/o/{tenant.slug}/keys/new/")
    page.get_by_label("Name").fill("plain")
    page.get_by_role("button", name="Create key").click()

    assert page.locator("#secret").inner_text().startswith("thk_")
    expect(page.get_by_role("button", name="Copy")).to_have_count(0)  # once its style is here
    page.goto(f"{site.url}/o/{tenant.slug}/requests/")
    page.get_by_label("Status").select_option("failed")
    page.get_by_role("button", name="Filter").click()
    assert "No request matches" in page.content()
    assert "status=failed" in page.url
