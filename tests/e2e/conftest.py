"""A browser, and the console and gateway in one process for it to visit."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.processes import Server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""


# How long something may take to appear, on a machine that runs other tests beside it.
expect.set_options(timeout=20_000)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    if not CHROMIUM:
        pytest.skip("Chromium is not installed")
    # Playwright's own loop must not make Django think that it is called from one.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """A browser without a page, and none is left open: the console's pages ask for news for ever."""
    yield chromium
    for context in chromium.contexts:
        context.close()


@pytest.fixture(scope="session")
def site(gateway_environ: dict[str, str], stripe_server: Server) -> Iterator[Server]:
    """Console and gateway in one process, as ``make run`` has them."""
    command = ["manage.py", "serve", "--role", "all", "--port", "{port}"]
    environ = {"TOKENHUB_DATABASE_POOL": "4", "STRIPE_API_BASE": stripe_server.url}
    server = Server(command, {**gateway_environ, **environ}, "/readyz").start()
    yield server
    server.stop()
