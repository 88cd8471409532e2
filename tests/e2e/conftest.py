"""A browser, and the console and gateway in one process for it to visit."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.processes import Server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not CHROMIUM:
        pytest.skip("Chromium is not installed")
    # Playwright's own loop must not make Django think that it is called from one.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)


@pytest.fixture(scope="session")
def site(gateway_environ: dict[str, str], stripe_server: Server) -> Iterator[Server]:
    """Console and gateway in one process, as ``make run`` has them."""
    command = ["manage.py", "serve", "--role", "all", "--port", "{port}"]
    environ = {"TOKENHUB_DATABASE_POOL": "4", "STRIPE_API_BASE": stripe_server.url}
    server = Server(command, {**gateway_environ, **environ}, "/readyz").start()
    yield server
    server.stop()
