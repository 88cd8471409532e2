"""Pictures and videos from the playground in a browser: shown, followed, stopped, refused, billed as the page says."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from billing.models import MediaTask, Usage
from billing.money import usd_from_nano
from tests import factories
from tests.e2e.visitor import faults_of, left, sign_in
from tests.live import Gateway
from tests.processes import Server, eventually
from tokenhub.gateway.media.follow import follow

USD = 1_000_000_000


@pytest.fixture
def tenant() -> Any:
    return factories.organization("Picturing", credit_nano=10 * USD)


def opened(browser: Browser, site: Server, tenant: Any, kind: str, query: str = "") -> Page:
    page = browser.new_page()
    sign_in(page, site, factories.member(tenant, "developer"))
    page.goto(f"{site.url}/o/{tenant.slug}/playground/")
    page.get_by_role("link", name=kind, exact=True).click()
    page.wait_for_url(f"**/playground/{kind.lower()}/")
    if query:
        page.goto(page.url + query)
    return page


def begun(page: Page, tenant: Any) -> MediaTask:
    page.get_by_label("Prompt").fill("Waves at dawn")
    page.get_by_label("Seconds").fill("3")
    page.get_by_role("button", name="Begin the video").click()
    tasks = MediaTask.objects.filter(organization=tenant).exclude(upstream_id="")
    found: MediaTask = eventually(tasks.first, what="a task")
    expect(page.locator("#results").get_by_text(re.compile("Waiting|Being made"))).to_be_visible()
    return found


def _look(now: datetime) -> None:
    try:
        follow(now)
    finally:
        connections.close_all()


def end_of(task: MediaTask) -> MediaTask:
    ahead = timedelta()

    def ended() -> MediaTask | None:
        nonlocal ahead
        ahead += timedelta(seconds=5)
        # The browser's loop is this thread's.
        with ThreadPoolExecutor(1) as aside:
            aside.submit(_look, timezone.now() + ahead).result()
        found: MediaTask = MediaTask.objects.get(pk=task.pk)
        return None if found.open else found

    found: MediaTask = eventually(ended, within_s=20, what="the end of the task")
    return found


def test_pictures_are_shown_from_the_answer_alone_and_billed_as_the_page_says(
    browser: Browser, site: Server, gateway: Gateway, tenant: Any
) -> None:
    page = opened(browser, site, tenant, "Image", "?model=wan2.6-t2i")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_label("Prompt").fill("A red fox, don't laugh")
    page.get_by_label("Pictures").fill("2")
    page.get_by_label("Size").select_option("1024x1024")

    page.get_by_label("Prompt").press("Control+Enter")

    shown = page.locator("#results img")
    expect(shown).to_have_count(2)
    assert shown.evaluate_all("all => all.every(one => one.complete && one.naturalWidth > 0)")
    assert not [url for url in asked if not url.startswith((site.url, "data:image/"))]
    usage = eventually(lambda: Usage.objects.filter(organization=tenant, billed=True).first())
    assert usage.units == {"image": 2}
    assert usage.key_name == "Playground"
    expect(page.locator("#cost a")).to_have_text(f"${usd_from_nano(usage.total_nano)}")
    expect(page.locator("#provider")).to_have_text(f"{usage.provider} · {usage.region}")
    expect(page.locator("#attempts")).to_have_text("1")
    expect(page.locator("[data-left] a")).to_have_text(left(10 * USD - usage.total_nano))
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").first.click()
    assert download.value.suggested_filename.startswith("picture.")
    assert faults_of(page) == []
    page.get_by_text("View code").click()
    compile(page.locator("#code-python").text_content() or "", "sample", "exec")
    assert "don'\\''t" in (page.locator("#code-curl").text_content() or "")
    page.locator("#cost a").click()
    expect(page.get_by_text(re.compile("Succeeded · billed")).first).to_be_visible()


def test_a_video_is_followed_to_its_end_and_billed_as_the_page_says(
    browser: Browser, site: Server, gateway: Gateway, tenant: Any
) -> None:
    page = opened(browser, site, tenant, "Video", "?model=wan2.7-t2v")
    task = begun(page, tenant)
    expect(page.locator("#cost")).to_have_text(f"${usd_from_nano(task.quoted_nano)} set aside")
    expect(page.locator("[data-left] a")).to_have_text(left(10 * USD - task.hold_nano))

    done = end_of(task)

    # It plays where it was asked for: the bytes come through us, and the page's policy lets them.
    player = page.get_by_label("Waves at dawn")
    expect(player).to_have_js_property("videoWidth", 320)
    assert player.evaluate("it => [it.controls, it.preload, it.paused]") == [True, "metadata", True]
    link = page.get_by_role("link", name="Open the video")
    expect(link).to_have_attribute("href", re.compile(r".*/v1/media/\S+"))
    # A visitor without a session or a key opens it; what it leads to is told by nobody.
    token = str(link.get_attribute("href")).rpartition("/")[2]
    shown = gateway.http.get(f"{gateway.url}/v1/media/{token}")
    assert (shown.status_code, shown.headers["content-type"]) == (200, "video/mp4")
    assert done.media_url not in page.content()
    usage = Usage.objects.get(organization=tenant)
    assert usage.billed
    assert usage.units == {"video_second_720p": 3}
    assert usage.key_name == "Playground"
    expect(page.locator("#cost a")).to_have_text(f"${usd_from_nano(usage.total_nano)}")
    expect(page.locator("#provider")).to_have_text(f"{usage.provider} · {usage.region}")
    expect(page.locator("[data-left] a")).to_have_text(left(10 * USD - usage.total_nano))
    assert faults_of(page) == []
    page.get_by_text("View code").click()
    compile(page.locator("#code-python").text_content() or "", "sample", "exec")
    page.get_by_role("link", name="See the task").click()
    page.wait_for_url(f"**/o/{tenant.slug}/tasks/{done.id}/")


@pytest.mark.parametrize("why", ["of another origin", "of a kind that the browser does not play"])
def test_what_cannot_be_played_in_the_page_is_still_linked_to(
    browser: Browser, site: Server, gateway: Gateway, tenant: Any, why: str
) -> None:
    page = opened(browser, site, tenant, "Video")
    link = "https://media.example/v1/media/x"
    if why != "of another origin":
        link = f"{site.url}/v1/media/x"
        page.route(link, lambda route: route.fulfill(content_type="video/mp4", body="no video"))
    told: list[str] = []
    page.on("console", lambda said: told.append(said.text))
    answer = {"status": "succeeded", "video_url": link, "cost_usd": "0.309", "error": ""}
    page.route("**/playground/video/task_*/", lambda route: route.fulfill(json=answer))
    page.get_by_label("Prompt").fill("Waves at dawn")

    page.get_by_role("button", name="Begin the video").click()

    expect(page.get_by_role("link", name="Open the video")).to_have_attribute("href", link)
    expect(page.locator("video")).to_have_count(0)
    assert not [said for said in told if "Content Security Policy" in said]


def test_escape_stops_waiting_for_a_video_which_is_made_all_the_same(
    browser: Browser, site: Server, gateway: Gateway, tenant: Any
) -> None:
    page = opened(browser, site, tenant, "Video")
    task = begun(page, tenant)

    page.keyboard.press("Escape")

    results = page.locator("#results")
    expect(
        results.get_by_text("You stopped waiting. The video is still being made")
    ).to_be_visible()
    expect(page.get_by_role("button", name="Begin the video")).to_be_enabled()
    expect(page.get_by_role("link", name="See the task")).to_be_visible()
    assert end_of(task).status == "succeeded"


@pytest.mark.parametrize(("kind", "send"), [("Image", "Make pictures"), ("Video", "Begin the video")])  # fmt: skip
def test_a_refusal_says_why_and_that_nothing_is_billed(
    browser: Browser, site: Server, gateway: Gateway, kind: str, send: str
) -> None:
    poor = factories.organization("Poor")
    page = opened(browser, site, poor, kind)
    page.get_by_label("Prompt").fill("Anything")
    page.get_by_role("button", name=send).click()

    expect(page.locator("#results").get_by_text("insufficient_balance")).to_be_visible()
    expect(page.locator("#results").get_by_text("Not billed")).to_be_visible()
    expect(page.locator("#cost")).to_have_text("$0.00")
    assert faults_of(page) == []
