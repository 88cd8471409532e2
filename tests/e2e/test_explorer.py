"""The API explorer in a browser: it obeys the policy, and one can try an operation with one's own key."""

from typing import Any

import pytest
from playwright.sync_api import Browser

from tests import factories
from tests.api.program import Program
from tests.processes import Server


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_an_operation_is_tried_with_a_key(
    committed: None, browser: Browser, site: Server, width: int, scheme: Any, tmp_path: Any
) -> None:
    program = Program.of(factories.organization())
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    faults: list[str] = []
    asked: list[str] = []
    page.on(
        "console", lambda message: faults.append(message.text) if message.type == "error" else None
    )
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))

    page.goto(f"{site.url}/api/docs/")
    page.locator(".opblock").first.wait_for()
    page.screenshot(path=tmp_path / "explorer.png")
    page.get_by_role("button", name="Authorize").first.click()
    page.locator(".modal-ux input[type=text], .modal-ux input[type=password]").first.fill(
        program.secret
    )
    page.locator(".modal-ux").get_by_role("button", name="Apply credentials").first.click()
    page.locator(".modal-ux").get_by_role("button", name="Close").first.click()
    operation = page.locator("#operations-me-get_me")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table")
    answer.get_by_text(program.tenant.id).first.wait_for()
    page.screenshot(path=tmp_path / "tried.png")

    assert faults == []
    assert [url for url in asked if not url.startswith((site.url, "data:", "blob:"))] == []
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
    assert page.evaluate("document.documentElement.classList.contains('dark-mode')") == (
        scheme == "dark"
    )
