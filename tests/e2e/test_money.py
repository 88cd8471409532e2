"""Money in a browser: a top-up on the hosted page, spent by a call, found again on the month's invoice."""

import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db.models import Sum
from playwright.sync_api import Browser, Page, expect
from pypdf import PdfReader

from accounts.models import Organization
from billing.audit import audit
from billing.invoices import close_due
from billing.models import TopUp, Transfer, Usage
from billing.money import usd_from_nano
from billing.selectors import balance_of
from tests import factories
from tests.e2e.visitor import sign_in
from tests.live import Gateway, Stripe
from tests.processes import Server, eventually

USD = 1_000_000_000


@pytest.fixture
def hooked(site: Server, stripe: Stripe) -> Iterator[Stripe]:
    """Stripe, telling the site what happens."""
    stripe.listen(f"{site.url}/webhooks/stripe/")
    yield stripe
    stripe.listen("", paused=True)


def inside(
    browser: Browser, site: Server, *, plan: str = "enterprise", javascript: bool = True
) -> tuple[Page, Organization]:
    tenant = factories.organization(plan=plan)
    page = browser.new_context(java_script_enabled=javascript).new_page()
    sign_in(page, site, factories.member(tenant))
    page.goto(f"{site.url}/o/{tenant.slug}/billing/")
    return page, tenant


def begin_top_up(page: Page, amount: str) -> None:
    page.get_by_role("link", name="Top up", exact=True).first.click()
    page.get_by_label("Amount in USD").fill(amount)
    page.get_by_role("button", name="Continue to payment").click()
    page.wait_for_url("**/pay/**")


def pay(page: Page, card: str = Stripe.CARD) -> None:
    page.locator(f"input[name=card][value='{card}']").check()
    page.get_by_role("button", name=re.compile("^Pay|^Save|^Subscribe")).click()


def test_from_a_top_up_to_the_invoice(
    browser: Browser, site: Server, gateway: Gateway, hooked: Stripe
) -> None:
    page, tenant = inside(browser, site)
    begin_top_up(page, "25")
    assert "$25.00" in page.content()
    pay(page)
    page.wait_for_url(f"{site.url}/o/{tenant.slug}/billing/top-up/top_*/")
    expect(page.get_by_text("$25.00 was added to the balance")).to_be_visible()

    secret = factories.key(tenant).secret
    there = Gateway(site.url, gateway.providers)
    answers = [there.chat(secret), there.chat(secret, "claude-haiku-4.5"), there.chat(secret)]
    streamed = there.stream(secret)

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert streamed.done
    uses = Usage.objects.filter(organization=tenant)
    eventually(lambda: uses.filter(billed=True).count() == 4)
    spent: int = uses.aggregate(sum=Sum("total_nano"))["sum"]
    left = 25 * USD - spent
    eventually(lambda: balance_of(tenant).balance_nano == left)
    page.goto(f"{site.url}/o/{tenant.slug}/billing/")
    assert f"${usd_from_nano(left)}" in page.content()

    close_due(_next_month())
    page.get_by_role("link", name="Invoices and receipts").click()
    with page.expect_download() as download:
        page.get_by_role("link", name=re.compile("PDF of INV")).click()

    text = "".join(
        leaf.extract_text()
        for leaf in PdfReader(io.BytesIO(download.value.path().read_bytes())).pages
    )
    ledger: int = Transfer.objects.filter(organization=tenant, kind="usage").aggregate(
        sum=Sum("amount_nano")
    )["sum"]
    assert ledger == spent
    [total] = re.findall(r"Total[^\n\d]*\$?\s*([\d.,]+)", text.split("Subtotal")[-1])[-1:]
    assert total == usd_from_nano(ledger)
    assert audit(tenant) == []
    expect(page.get_by_role("link", name=re.compile("^REC"))).to_be_visible()


def _next_month() -> datetime:
    first = datetime.now(UTC).replace(day=1, hour=6)
    return (first + timedelta(days=32)).replace(day=1)


def test_a_declined_card_is_said_on_the_payment_page_and_another_one_pays(
    browser: Browser, site: Server, gateway: Gateway, hooked: Stripe
) -> None:
    page, tenant = inside(browser, site)
    begin_top_up(page, "10")

    pay(page, Stripe.DECLINED)
    expect(page.get_by_text("declined").first).to_be_visible()
    assert balance_of(tenant).balance_nano == 0
    pay(page)

    expect(page.get_by_text("$10.00 was added to the balance")).to_be_visible()
    assert balance_of(tenant).balance_nano == 10 * USD


def test_turning_back_from_the_payment_page_costs_nothing(
    browser: Browser, site: Server, gateway: Gateway, hooked: Stripe
) -> None:
    page, tenant = inside(browser, site)
    begin_top_up(page, "10")

    page.get_by_role("button", name=re.compile("Cancel|Back")).click()

    page.wait_for_url(f"{site.url}/o/{tenant.slug}/billing/top-up/")
    assert balance_of(tenant).balance_nano == 0


def test_a_top_up_needs_no_javascript_and_no_webhook(
    browser: Browser, site: Server, gateway: Gateway, stripe: Stripe
) -> None:
    page, tenant = inside(browser, site, javascript=False)
    begin_top_up(page, "12.34")

    pay(page, Stripe.AUTHENTICATION)
    page.get_by_role("button", name=re.compile("Complete|Confirm|Authenticate")).click()

    expect(page.get_by_text("$12.34 was added to the balance")).to_be_visible()
    assert TopUp.objects.get(organization=tenant).status == "succeeded"


def test_pro_is_bought_with_a_card_and_is_in_force_at_once(
    browser: Browser, site: Server, gateway: Gateway, hooked: Stripe
) -> None:
    page, tenant = inside(browser, site, plan="starter")
    factories.credit(tenant, USD)
    secret = factories.key(tenant).secret
    there = Gateway(site.url, gateway.providers)
    assert there.chat(secret).headers["x-ratelimit-limit-requests"] == "600"

    page.goto(f"{site.url}/o/{tenant.slug}/plan/")
    page.get_by_role("link", name="Change to Pro").click()
    expect(page.get_by_text("$49.00").first).to_be_visible()
    page.get_by_role("button", name=re.compile("Pro|payment")).click()
    page.wait_for_url("**/pay/**")
    pay(page)

    page.wait_for_url(f"{site.url}/o/{tenant.slug}/plan/")
    expect(page.get_by_text("You are on Pro")).to_be_visible()
    eventually(lambda: there.chat(secret).headers["x-ratelimit-limit-requests"] == "6000")
