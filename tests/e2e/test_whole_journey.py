"""A customer's way in one piece: from signing up to the invoice, with a colleague whose role refuses."""

import io
import re

from playwright.sync_api import Browser, Page, expect
from pypdf import PdfReader

from accounts.models import Organization
from billing.invoices import close_due
from billing.models import Usage
from billing.money import usd_from_nano
from tests import factories
from tests.e2e.test_journey import _code
from tests.e2e.test_money import _next_month, begin_top_up, hooked, pay
from tests.live import Gateway, Stripe
from tests.processes import Server, eventually

__all__ = ["hooked"]


def test_from_signing_up_to_the_invoice(
    browser: Browser, site: Server, gateway: Gateway, hooked: Stripe
) -> None:
    page, tenant = _signed_up(browser, site)
    home = f"{site.url}/o/{tenant.slug}"
    secret = _first_key(page)

    page.goto(f"{home}/billing/")
    begin_top_up(page, "25")
    pay(page)
    page.wait_for_url(f"{home}/billing/top-up/top_*/")
    page.goto(f"{home}/")
    expect(page.get_by_text("No requests yet.")).to_be_visible()
    calls = Gateway(site.url, gateway.providers)
    first = calls.chat(secret)
    assert first.status_code == 200
    expect(page.get_by_role("link", name=first.headers["x-request-id"][-8:])).to_be_visible(
        timeout=15_000
    )  # seen live: nobody loaded the page again

    page.goto(f"{home}/preferences/")
    page.get_by_label("European Union").check()
    page.get_by_role("button", name="Save preferences").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    eventually(lambda: _region(calls, secret) == "eu", what="the preference")
    assert {_region(calls, secret) for _ in range(5)} == {"eu"}

    colleague = factories.user()
    page.goto(f"{home}/members/")
    page.get_by_label("Email").fill(colleague.email)
    page.get_by_label("Role", exact=True).select_option("viewer")
    page.get_by_role("button", name="Send invitation").click()
    guest = browser.new_context().new_page()
    sign_in_path = eventually(lambda: _invitation(browser, site, colleague.email))
    guest.goto(f"{site.url}/accounts/login/")
    guest.get_by_label("Email").fill(colleague.email)
    guest.get_by_label("Password").fill(factories.PASSWORD)
    guest.get_by_role("button", name="Sign in", exact=True).click()
    guest.wait_for_url(lambda url: "/login/" not in url)
    guest.goto(f"{site.url}{sign_in_path}")
    guest.get_by_role("button", name="Join as Viewer").click()
    guest.wait_for_url(f"{home}/")
    refused = guest.goto(f"{home}/keys/new/")
    assert refused is not None
    assert refused.status == 403
    expect(guest.get_by_text(re.compile("Owner, Admin or Developer|Admin"))).to_be_visible()

    uses = Usage.objects.filter(organization=tenant, billed=True)
    spent = eventually(lambda: sum(uses.values_list("total_nano", flat=True)))
    close_due(_next_month())
    page.goto(f"{home}/billing/invoices/")
    with page.expect_download() as download:
        page.get_by_role("link", name=re.compile("PDF of INV")).click()
    text = "".join(
        leaf.extract_text()
        for leaf in PdfReader(io.BytesIO(download.value.path().read_bytes())).pages
    )
    assert usd_from_nano(spent) in text


def _signed_up(browser: Browser, site: Server) -> tuple[Page, Organization]:
    page, email = browser.new_context().new_page(), factories.marker_address()
    page.goto(f"{site.url}/accounts/signup/")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Company or project").fill("Whole Way Ltd")
    page.get_by_label("Password").fill("a long pass phrase")
    page.get_by_role("button", name="Create account").click()
    page.get_by_label("Code").fill(eventually(lambda: _code(browser, site, email)))
    page.get_by_role("button", name="Confirm").click()
    page.wait_for_url("**/o/whole-way-ltd*/")
    return page, Organization.objects.get(memberships__user__email=email)


def _first_key(page: Page) -> str:
    page.get_by_role("link", name="Create an API key").click()
    page.get_by_role("link", name="Create the first key").click()
    page.get_by_label("Name").fill("my program")
    page.get_by_role("button", name="Create key").click()
    secret = page.locator("#secret").inner_text()
    page.get_by_role("link", name="I have saved it").click()
    expect(page.locator("#secret")).to_have_count(0)
    return secret


def _region(calls: Gateway, secret: str) -> str:
    answer = calls.chat(secret)
    assert answer.status_code == 200
    region: str = answer.headers["x-tokenhub-region"]
    return region


def _invitation(browser: Browser, site: Server, email: str) -> str:
    mail = browser.new_page()
    mail.goto(f"{site.url}/dev/mailbox/")
    section = mail.locator("section", has_text=email).first
    text = section.inner_text() if section.count() else ""
    mail.close()
    found = re.search(r"/invite/[\w-]+/", text)
    return found.group(0) if found else ""
