"""What the little JavaScript adds: fragments, addresses that keep their filters, the chosen theme, copying."""

import re
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from routing.models import Preferences
from tests import factories
from tests.e2e.visitor import sign_in
from tests.live import Gateway
from tests.processes import Server


def inside(browser: Browser, site: Server, tenant: object) -> Page:
    page = browser.new_page()
    sign_in(page, site, factories.member(tenant))  # type: ignore[arg-type]
    return page


def test_a_filter_swaps_the_results_alone_and_keeps_a_clean_address(
    browser: Browser, site: Server, gateway: Gateway
) -> None:
    tenant = factories.organization()
    for model in ("glm-5", "qwen-plus", "qwen-plus"):
        factories.usage(tenant, model=model)
    page = inside(browser, site, tenant)
    page.goto(f"{site.url}/o/{tenant.slug}/requests/")
    page.evaluate("window.untouched = true")

    page.get_by_label("Model").fill("qwen-plus")
    page.get_by_label("Model").press("Tab")

    expect(page.locator("#results tbody tr")).to_have_count(2)
    expect(page).to_have_url(f"{site.url}/o/{tenant.slug}/requests/?model=qwen-plus")
    expect(page.locator("#live")).to_have_text("2 requests shown")
    assert page.evaluate("window.untouched")
    assert page.evaluate("document.activeElement.name") == "provider"


def test_older_requests_come_into_place_and_take_the_focus(
    browser: Browser, site: Server, gateway: Gateway
) -> None:
    tenant = factories.organization()
    for _ in range(53):
        factories.usage(tenant)
    page = inside(browser, site, tenant)
    page.goto(f"{site.url}/o/{tenant.slug}/requests/?provider=deepseek")

    page.get_by_role("link", name="Older").click()

    expect(page.locator("#results tbody tr")).to_have_count(3)
    expect(page).to_have_url(re.compile(r"provider=deepseek&before=req_"))
    expect(page.locator("#results")).to_be_focused()
    page.get_by_role("link", name="Newest").click()
    expect(page.locator("#results tbody tr")).to_have_count(50)
    expect(page).to_have_url(re.compile(r"\?provider=deepseek$"))


def test_a_choice_shows_at_once_what_would_remain_and_saves_nothing(
    browser: Browser, site: Server, gateway: Gateway
) -> None:
    tenant = factories.organization()
    page = inside(browser, site, tenant)
    page.goto(f"{site.url}/o/{tenant.slug}/preferences/")

    page.get_by_label("European Union").check()

    expect(page.locator("#remaining")).to_contain_text("Not saved yet")
    expect(page.locator("#remaining")).to_contain_text("calls will fail")
    assert not Preferences.objects.filter(organization=tenant).exists()
    page.get_by_role("button", name="Save preferences").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    assert Preferences.objects.get(organization=tenant).allowed_regions == ["eu"]


def test_the_chosen_theme_is_there_before_the_first_paint(
    browser: Browser, site: Server, gateway: Gateway
) -> None:
    page = browser.new_context(color_scheme="light").new_page()
    page.goto(site.url)
    page.get_by_role("button", name="Light or dark").click()

    page.goto(f"{site.url}/docs/", wait_until="commit")

    page.wait_for_selector("body")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 20, 22)"


def test_copying_puts_the_sample_on_the_clipboard(
    browser: Browser, site: Server, gateway: Gateway
) -> None:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(f"{site.url}/docs/")

    sample = page.locator(".code", has_text="curl http").first
    sample.get_by_role("button", name="Copy").click()

    expect(page.locator("#live")).to_have_text("Copied to the clipboard")
    copied: str = page.evaluate("navigator.clipboard.readText()")
    assert copied == sample.locator("code").inner_text()


def test_nothing_private_stays_in_the_browser(
    browser: Browser, site: Server, gateway: Gateway
) -> None:
    tenant = factories.organization("Private Name Ltd")
    factories.usage(tenant)
    page = inside(browser, site, tenant)
    page.goto(f"{site.url}/o/{tenant.slug}/requests/")
    page.get_by_label("Status").select_option("succeeded")
    expect(page).to_have_url(re.compile("status=succeeded"))

    page.locator("summary[aria-label='Your account']").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(f"{site.url}/")
    page.wait_for_load_state()
    page.go_back()

    assert "Private Name Ltd" not in page.content()
    kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    assert "Private Name" not in kept


def test_the_first_call_appears_by_itself(browser: Browser, site: Server, gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000)
    page = inside(browser, site, tenant)
    expect(page.get_by_text("No requests yet")).to_be_visible()

    gateway.chat(factories.key(tenant).secret)

    expect(page.get_by_text("Your first call has arrived")).to_be_visible(timeout=15_000)
    expect(page.locator("[data-rows] tbody tr")).to_have_count(1)


def test_single_keys_search_go_and_walk_the_log_but_never_while_writing(
    browser: Browser, site: Server, gateway: Gateway
) -> None:
    tenant = factories.organization()
    usages = [factories.usage(tenant) for _ in range(3)]
    page = inside(browser, site, tenant)

    page.keyboard.press("g")
    page.keyboard.press("r")
    page.wait_for_url("**/requests/")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/requests/{usages[1].id}/")
    page.wait_for_load_state("networkidle")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).not_to_be_visible()
    page.keyboard.press("/")
    focused = page.locator("input:focus")
    expect(focused).to_be_visible()
    page.keyboard.type("gr?")
    expect(focused).to_have_value("gr?")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search/?q=gr%3F")


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_a_table_that_goes_on_sideways_says_at_which_side(
    browser: Browser, site: Server, motion: Literal["no-preference", "reduce"]
) -> None:
    page = browser.new_page(reduced_motion=motion)
    page.goto(f"{site.url}/pricing/")
    box = page.get_by_role("region", name="Plans")
    shadows = "it => getComputedStyle(it).boxShadow"

    assert box.evaluate(shadows) == "none"

    page.set_viewport_size({"width": 390, "height": 900})
    expect(box).to_have_css("box-shadow", re.compile(r" -22px 0px 18px -18px inset$"))
    box.evaluate("it => it.scrollTo({left: it.scrollWidth})")
    expect(box).to_have_css(
        "box-shadow", re.compile(r" 22px 0px 18px -18px inset, rgba\(0, 0, 0, 0\) ")
    )
