"""The playground in a browser: streamed, stopped, compared, refused; billed like any other call."""

import re
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from billing.models import Usage
from keys.models import ApiKey
from keys.playground import playground_key
from tests import factories
from tests.e2e.visitor import faults_of, left, sign_in
from tests.live import Gateway, marker
from tests.processes import Server, eventually

USD = 1_000_000_000


@pytest.fixture
def tenant() -> Any:
    return factories.organization("Playing", credit_nano=USD)


def opened(browser: Browser, site: Server, tenant: Any, query: str = "") -> Page:
    page = browser.new_page()
    sign_in(page, site, factories.member(tenant, "developer"))
    page.goto(f"{site.url}/o/{tenant.slug}/playground/chat/{query}")
    return page


def test_an_answer_streams_and_is_billed_as_the_page_says(
    browser: Browser, site: Server, gateway: Gateway, tenant: Any
) -> None:
    page = opened(browser, site, tenant)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(str(request.all_headers())))

    page.get_by_label("Message").fill("Hello there")
    page.keyboard.press("Control+Enter")

    link = page.locator("[data-pane]:visible [data-cost] a")
    expect(link).to_have_text(re.compile(r"^\$0\.0*[1-9]"))
    usage = eventually(lambda: Usage.objects.filter(organization=tenant, billed=True).first())
    shown = page.locator("[data-pane]:visible")
    expect(shown.locator("[data-provider]")).to_have_text(f"{usage.provider} · {usage.region}")
    expect(shown.locator("[data-tokens]")).to_have_text(
        f"{usage.units['input']} / {usage.units['output']}"
    )
    expect(shown.locator(".turn.assistant p")).not_to_be_empty()
    assert usage.key_name == "Playground"
    assert usage.stream
    hidden = playground_key(tenant)
    assert hidden is not None
    assert usage.key_id.hex == hidden.id[4:]
    assert not [each for each in asked if "thk_" in each]
    assert "thk_" not in page.content()
    assert not ApiKey.objects.for_organization(tenant).exists()
    expect(page.locator("[data-left] a")).to_have_text(left(USD - usage.total_nano))
    link.click()
    expect(page.get_by_text(re.compile("Succeeded · billed")).first).to_be_visible()


def test_the_conversation_goes_on_and_the_code_is_the_call(
    browser: Browser, site: Server, gateway: Gateway, tenant: Any
) -> None:
    page = opened(browser, site, tenant, "?model=qwen-plus")
    page.get_by_label("System prompt").fill("Be brief, don't be rude")
    page.get_by_label("Message").fill("One")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("[data-cost] a").first).to_be_visible()
    page.get_by_label("Message").fill("Two")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".turn.assistant")).to_have_count(2)
    expect(page.locator("[data-cost] a").first).to_be_visible()

    page.get_by_text("View code").click()

    for language in ("curl", "python", "javascript"):
        text = page.locator(f"#code-{language}").text_content() or ""
        assert "qwen-plus" in text
        assert '"One"' in text
        assert '"Two"' in text
    curl = page.locator("#code-curl").text_content() or ""
    assert "don'\\''t" in curl
    assert "$TOKENHUB_API_KEY" in curl
    compile(page.locator("#code-python").text_content() or "", "sample", "exec")
    uses = Usage.objects.filter(organization=tenant, billed=True)
    eventually(lambda: uses.count() == 2)
    assert len({usage.session_id for usage in uses}) == 1


def test_two_models_answer_side_by_side(
    browser: Browser, site: Server, gateway: Gateway, tenant: Any
) -> None:
    page = opened(browser, site, tenant)
    page.get_by_label("Compare two models").check()
    page.get_by_role("combobox", name="Second model").select_option("claude-haiku-4.5")
    page.get_by_label("Message").fill("Who are you?")
    page.get_by_role("button", name="Send").click()

    expect(page.locator("[data-cost] a")).to_have_count(2)

    uses = Usage.objects.filter(organization=tenant, billed=True)
    eventually(lambda: uses.count() == 2)
    assert "claude-haiku-4.5" in {usage.model for usage in uses}
    assert faults_of(page) == []


def test_escape_stops_reading_and_the_page_says_what_that_means(
    browser: Browser, site: Server, gateway: Gateway, tenant: Any
) -> None:
    mark = marker()
    gateway.providers.fault("deepseek", "slow", delay_ms=300, contains=mark)
    page = opened(browser, site, tenant, "?model=deepseek/deepseek-v3.2")
    page.get_by_label("Message").fill(f"Slowly [[id={mark}]]")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".turn.assistant p")).not_to_be_empty()

    page.keyboard.press("Escape")

    expect(page.locator(".talk").get_by_text("You stopped reading")).to_be_visible()
    expect(page.get_by_role("button", name="Send")).to_be_enabled()
    uses = Usage.objects.filter(organization=tenant)
    assert eventually(uses.first, within_s=30, what="its end").billed


def test_a_refusal_says_why_and_that_nothing_is_billed(
    browser: Browser, site: Server, gateway: Gateway
) -> None:
    poor = factories.organization("Poor")
    page = opened(browser, site, poor)
    page.get_by_label("Message").fill("Hello")
    page.get_by_role("button", name="Send").click()

    expect(page.locator(".talk").get_by_text("insufficient_balance")).to_be_visible()
    expect(page.get_by_text("Not billed").first).to_be_visible()
    assert faults_of(page) == []
    page.get_by_role("link", name="See the request").click()
    expect(page.get_by_role("heading", name=re.compile("."))).not_to_have_count(0)


def test_a_provider_that_fails_midway_is_not_billed(
    browser: Browser, site: Server, gateway: Gateway, tenant: Any
) -> None:
    mark = marker()
    gateway.providers.fault("deepseek", "disconnect", after_chunks=3, contains=mark)
    page = opened(browser, site, tenant, "?model=deepseek/deepseek-v3.2")
    page.get_by_label("Message").fill(f"Break [[id={mark}]]")
    page.get_by_role("button", name="Send").click()

    expect(page.get_by_text("Not billed").first).to_be_visible()

    usage = eventually(lambda: Usage.objects.filter(organization=tenant).first())
    assert not usage.billed


def test_viewers_are_not_shown_the_way_in(
    browser: Browser, site: Server, gateway: Gateway, tenant: Any
) -> None:
    page = browser.new_page()
    sign_in(page, site, factories.member(tenant, "viewer"))

    assert page.get_by_role("link", name="Playground").count() == 0
