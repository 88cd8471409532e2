"""The ways in: by password, by a mailed code, by passkey, with a recovery code, and by GitHub where it is configured."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from allauth.socialaccount.models import SocialAccount
from playwright.sync_api import Browser, Page, expect

from accounts.models import User
from tests import factories
from tests.e2e.visitor import faults_of, sign_in
from tests.live import Gateway
from tests.processes import Server, eventually


def mailed(browser: Browser, site: Server, address: str, pattern: str) -> str:
    """What the last mail to an address says, by a pattern; empty while there is none."""
    page = browser.new_page()
    page.goto(f"{site.url}/dev/mailbox/")
    section = page.locator("section", has_text=address).first
    text = section.inner_text() if section.count() else ""
    page.close()
    found = re.search(pattern, text, re.MULTILINE)
    return found.group(1) if found else ""


def test_a_code_by_mail_signs_in(browser: Browser, site: Server, gateway: Gateway) -> None:
    person = factories.member(factories.organization())
    page = browser.new_page()
    page.goto(f"{site.url}/accounts/login/")
    page.get_by_role("link", name="Mail me a sign-in code").click()
    page.get_by_label("Email").fill(person.email)
    page.get_by_role("button", name="Request Code").click()
    page.get_by_label("Code").fill(
        eventually(lambda: mailed(browser, site, person.email, r"^([A-Z0-9-]{6,9})$"))
    )
    assert faults_of(page) == []
    page.get_by_role("button", name=re.compile("Sign In|Confirm", re.IGNORECASE)).click()

    page.wait_for_url("**/o/**")


def test_a_passkey_is_added_and_signs_in_without_a_password(
    browser: Browser, site: Server, gateway: Gateway
) -> None:
    person = factories.member(factories.organization())
    # A passkey belongs to a name; an address has none.
    here = Server.__new__(Server)
    here.url = site.url.replace("127.0.0.1", "localhost")
    page = browser.new_context().new_page()
    _give_authenticator(page)
    sign_in(page, here, person)
    page.goto(f"{here.url}/me/security/")
    page.get_by_role("link", name="Manage passkeys").click()
    page.get_by_role("link", name="Add", exact=True).click()
    page.get_by_label("Name").fill("My laptop")
    if page.get_by_label("Passwordless").count():
        page.get_by_label("Passwordless").check()
    assert faults_of(page) == []
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text(re.compile("recovery codes", re.IGNORECASE)).first).to_be_visible()
    page.goto(f"{here.url}/accounts/logout/")
    page.get_by_role("main").get_by_role(
        "button", name=re.compile("Sign out", re.IGNORECASE)
    ).click()

    page.goto(f"{here.url}/accounts/login/")
    page.get_by_role("button", name="Sign in with a passkey").click()

    page.wait_for_url("**/o/**")
    page.goto(f"{here.url}/me/security/")
    expect(page.get_by_text("1 added")).to_be_visible()
    expect(page.get_by_text("Made")).to_be_visible()


def test_a_recovery_code_stands_in_for_a_lost_second_factor_once(
    browser: Browser, site: Server, gateway: Gateway
) -> None:
    from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
    from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret

    person = factories.member(factories.organization())
    TOTP.activate(person, generate_totp_secret())
    codes = RecoveryCodes.activate(person).get_unused_codes()

    def try_code(code: str) -> Page:
        page = browser.new_context().new_page()
        page.goto(f"{site.url}/accounts/login/")
        page.get_by_label("Email").fill(person.email)
        page.get_by_label("Password").fill(factories.PASSWORD)
        page.get_by_role("button", name="Sign in", exact=True).click()
        page.get_by_label(re.compile("code", re.IGNORECASE)).fill(code)
        page.get_by_role("button", name=re.compile("Sign In", re.IGNORECASE)).first.click()
        return page

    try_code(codes[0]).wait_for_url("**/o/**")
    again = try_code(codes[0])
    expect(again.get_by_text(re.compile("Incorrect code", re.IGNORECASE))).to_be_visible()


def _give_authenticator(page: Page) -> None:
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    session.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2", "transport": "internal", "hasResidentKey": True,
                "hasUserVerification": True, "isUserVerified": True, "automaticPresenceSimulation": True,
            }
        },
    )  # fmt: skip


class GitHub(BaseHTTPRequestHandler):
    """As much of GitHub as signs somebody in."""

    email = ""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        asked = parse_qs(parts.query)
        if parts.path == "/login/oauth/authorize":
            self.send_response(302)
            self.send_header(
                "location", f"{asked['redirect_uri'][0]}?code=good&state={asked['state'][0]}"
            )
            self.end_headers()
        elif parts.path.endswith("/user/emails"):
            self._json([{"email": self.email, "verified": True, "primary": True}])
        else:
            self._json(
                {"id": abs(hash(self.email)), "login": "octo", "email": self.email, "name": "Octo"}
            )

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self._json({"access_token": "token", "token_type": "bearer", "scope": "user:email"})

    def log_message(self, *_: Any) -> None:
        """Quietly."""

    def _json(self, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def github() -> Iterator[type[GitHub]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), GitHub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    GitHub.url = f"http://127.0.0.1:{server.server_port}"  # type: ignore[attr-defined]
    yield GitHub
    server.shutdown()


@pytest.fixture
def linked(gateway_environ: dict[str, str], github: type[GitHub]) -> Iterator[Server]:
    """A console that is registered at that GitHub."""
    command = ["manage.py", "serve", "--role", "web", "--port", "{port}"]
    environ = {
        "GITHUB_CLIENT_ID": "id", "GITHUB_CLIENT_SECRET": "secret",
        "GITHUB_URL": github.url,  # type: ignore[attr-defined]
    }  # fmt: skip
    server = Server(command, {**gateway_environ, **environ}, "/readyz").start()
    yield server
    server.stop()


def test_github_signs_up_and_in_and_opens_no_account_of_somebody_else(
    browser: Browser, site: Server, gateway: Gateway, linked: Server, github: type[GitHub]
) -> None:
    page = browser.new_context().new_page()
    page.goto(f"{site.url}/accounts/login/")
    assert page.get_by_role("button", name="Continue with GitHub").count() == 0

    github.email = factories.marker_address()
    for _ in range(2):  # up, and in again
        page = browser.new_context().new_page()
        page.goto(f"{linked.url}/accounts/login/")
        assert page.get_by_role("button", name="Continue with Google").count() == 0
        page.get_by_role("button", name="Continue with GitHub").click()
        page.wait_for_url("**/o/new/")
    person = User.objects.get(email=github.email)
    assert SocialAccount.objects.get(user=person).provider == "github"

    victim = factories.member(factories.organization())
    github.email = victim.email
    page = browser.new_context().new_page()
    page.goto(f"{linked.url}/accounts/login/")
    page.get_by_role("button", name="Continue with GitHub").click()
    page.wait_for_url("**/accounts/**")
    assert not SocialAccount.objects.filter(user=victim).exists()
    page.goto(f"{linked.url}/me/profile/")
    assert "/accounts/" in page.url
