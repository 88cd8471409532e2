"""No page has an accessibility fault, an error in the console, a request to a third party, or scrolls
sideways: light and dark, desktop and phone."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.urls import URLPattern, reverse
from playwright.sync_api import Browser, ConsoleMessage, Page, Request

from accounts.webhooks.models import Attempt
from billing.models import Usage
from tests import factories
from tests.e2e.visitor import faults_in_every_way, faults_of, sign_in
from tests.live import Gateway
from tests.processes import Server, eventually
from tests.web.routes import site_routes
from tests.web.test_access import ANSWERS, POST_ONLY
from tokenhub.urls import organization as organization_urls

FRAGMENTS = {"preferences_preview", "top_up_preview", "playground_left", "playground_video_task"}
ALSO = ["requests:?model=none", "ledger:?kind=usage&before=1"]  # with nothing to show
ALSO_PUBLIC = ["/models/?modality=text&region=eu", "/models/compare/?m=deepseek-v3.2&m=qwen-plus", "/docs/search/?q=key"]  # fmt: skip


def test_no_page_has_a_fault(browser: Browser, site: Server, gateway: Gateway) -> None:
    tenant, usages, key_id = _lived_in(site, gateway)
    page = browser.new_page(reduced_motion="reduce")
    told: list[ConsoleMessage] = []
    asked: list[Request] = []
    page.on("console", lambda message: told.append(message))
    page.on("request", lambda request: asked.append(request))
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(f"{page.url}: {error}"))

    sign_in(page, site, factories.member(tenant))
    for path in _console_paths(tenant, usages, key_id):
        faults += _visit(page, site.url + path)
    faults += _new_key(page, site.url + reverse("key_new", args=[tenant.slug]))

    faults += [f"{m.text} {m.location}" for m in told if m.type == "error"]
    faults += [request.url for request in asked if not request.url.startswith((site.url, "data:"))]
    assert faults == []


@pytest.mark.parametrize("signed_in", [False, True])
def test_no_page_of_the_site_or_of_a_person_has_a_fault(
    browser: Browser, site: Server, gateway: Gateway, signed_in: bool
) -> None:
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(f"{page.url}: {error}"))
    page.on("console", lambda said: faults.append(f"{said.text} {said.location}") if said.type == "error" else None)  # fmt: skip
    page.on("request", lambda asked: faults.append(asked.url) if not asked.url.startswith((site.url, "data:")) else None)  # fmt: skip
    if signed_in:
        sign_in(page, site, factories.member(factories.organization("Faultless too")))
    seen = 0
    # Signed in, a page of the site differs by its bar alone: one of them stands for all.
    kinds = ("person", "account") if signed_in else ("public", "account")
    also = ["/models/"] if signed_in else ALSO_PUBLIC

    for path in [*(route.path() for route in site_routes() if route.kind in kinds), *also]:
        answer = context.request.get(site.url + path, max_redirects=0)
        if answer.status == 200 and answer.headers["content-type"].startswith("text/html"):
            seen += 1
            faults += _visit(page, site.url + path)

    assert faults == []
    assert seen > 15


def _lived_in(site: Server, gateway: Gateway) -> tuple[Any, list[Usage], str]:
    """An organization with a billed call, a failed one, and a revoked key."""
    tenant = factories.organization("Faultless", plan="starter", credit_nano=1_000_000_000)
    minted = factories.key(tenant, allowed_regions=["cn", "eu", "us"], rpm=100)
    there = Gateway(site.url, gateway.providers)
    there.chat(minted.secret)
    there.chat(minted.secret, provider={"regions": ["mars"]})
    found = Usage.objects.filter(organization=tenant)
    eventually(lambda: found.filter(billed=True).exists() and found.filter(billed=False).exists())
    return tenant, list(found), minted.key.id


def _console_paths(tenant: Any, usages: list[Usage], key_id: str) -> list[str]:
    """Every page below ``/o/``, from the URLconf, of the objects that are there."""
    paths = [reverse("request_detail", args=[tenant.slug, usage.id]) for usage in usages]
    paths += [
        reverse(name, args=[tenant.slug]) + query
        for name, query in (entry.split(":") for entry in ALSO)
    ]
    top_up = factories.top_up(tenant)
    factories.payment_method(tenant)
    factories.alert(tenant)
    factories.invitation(tenant)
    arguments: dict[str, object] = {
        **dict.fromkeys(("key", "key_edit", "key_rotate", "key_revoke_confirm"), key_id),
        "request_detail": usages[0].id,
        "top_up_detail": top_up.id,
        "task": factories.media_task(tenant).id,
        "invoice": factories.invoice(tenant).number,
        "plan_change": "pro",
        "member": factories.membership(tenant).pk,
        **_webhook(tenant),
    }
    for pattern in organization_urls:
        assert isinstance(pattern, URLPattern)
        name = str(pattern.name)
        if name in POST_ONLY or name in ANSWERS or name in FRAGMENTS or _is_download(pattern):
            continue
        more = arguments.get(name, ())
        more = more if isinstance(more, tuple) else (more,)
        paths.append(reverse(name, args=[tenant.slug, *more]))
    return paths


def _webhook(tenant: Any) -> dict[str, object]:
    """A webhook that is failing, with a delivery that is tried again."""
    since = datetime.now(UTC)
    found = factories.endpoint(tenant, description="Bookkeeping", failing_since=since)
    delivery = factories.delivery(tenant, endpoint=found, attempts=1, tries=1)
    Attempt.objects.create(
        delivery=delivery, number=1, at=since, response_status=500, duration_ms=9
    )
    pages = ("webhook", "webhook_change", "webhook_rotate", "webhook_delete")
    return {**dict.fromkeys(pages, found.id), "webhook_delivery": (found.id, delivery.id)}


def _is_download(pattern: URLPattern) -> bool:
    return str(pattern.pattern).endswith((".csv", ".pdf"))


def _visit(page: Page, url: str) -> list[str]:
    answer = page.goto(url)
    assert answer is not None
    assert answer.status == 200, f"{url}: {answer.status}"
    return faults_in_every_way(page)


def _new_key(page: Page, url: str) -> list[str]:
    """The form with everything open, and the page that reveals the secret."""
    page.goto(url)
    for summary in page.locator("main details.more > summary").all():
        summary.click()
    found = faults_in_every_way(page)
    page.get_by_label("Name").fill("browser")
    page.get_by_role("button", name="Create key").click()
    page.locator("#secret").wait_for()
    return found + faults_in_every_way(page)


@pytest.mark.parametrize("width", [1280, 390])
def test_menus_open_without_a_fault(
    browser: Browser, site: Server, gateway: Gateway, width: int
) -> None:
    tenant = factories.organization("Menus")
    page = browser.new_page(viewport={"width": width, "height": 900})
    sign_in(page, site, factories.member(tenant))
    page.goto(f"{site.url}/o/{tenant.slug}/settings/")  # nothing to press where the menus fall
    if width < 800:
        assert not page.get_by_role("link", name="API keys").is_visible()
        page.get_by_role("button", name="Menu").click()
    assert page.get_by_role("link", name="API keys").is_visible()
    found = faults_of(page)
    page.locator("summary[aria-label^=Organization]").click()
    found += faults_of(page)
    page.keyboard.press("Escape")
    page.locator("summary[aria-label='Your account']").click()

    assert page.get_by_role("button", name="Sign out").is_visible()
    assert found + faults_of(page) == []
