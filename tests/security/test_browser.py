"""What a browser could be made to do against its owner: every page, found in the URLconf (K7)."""

import re
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from tests import factories
from tests.security.addresses import Address, every_address

pytestmark = pytest.mark.django_db

ADDRESSES = every_address()
PRIVATE = ("/o/", "/me/", "/admin/", "/accounts/", "/console/", "/invite/")
# Signed or authorized by something that no other site can make a browser send.
# Writing to us by the API does nothing in anybody's name, and takes JSON, which no form of another site sends.
NO_TOKEN_NEEDED = {"stripe_webhook", "api_contact"}


def superuser() -> User:
    return factories.user(is_staff=True, is_superuser=True)


def test_no_post_works_without_its_token() -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(superuser())
    let_in = {}

    for address in ADDRESSES:
        status = browser.post(address.path, {"a": "b"}).status_code
        if address.name in NO_TOKEN_NEEDED:
            expected = {400, 401, 415}
        elif getattr(address.view, "csrf_exempt", False):
            # DRF asks for the token itself where it was the session that let somebody in.
            expected = {401, 403, 405}
        else:
            expected = {403}
        if status not in expected:
            let_in[str(address)] = status

    assert let_in == {}


def wrong_with(address: Address, answer: Any) -> list[str]:
    """What a page's headers leave open."""
    policy = answer.get("content-security-policy", "")
    kept = answer.get("cache-control", "")
    holds = {
        "answers": answer.status_code < 500 or address.name == "readyz",
        "frames": answer["x-frame-options"] == "DENY" and "frame-ancestors 'none'" in policy,
        "policy": "'unsafe" not in policy,
        "sniffing": answer["x-content-type-options"] == "nosniff",
        "opener": answer["cross-origin-opener-policy"] == "same-origin",
        "resource": answer["cross-origin-resource-policy"] == "same-origin",
        "referrer": answer["referrer-policy"] in ("same-origin", "no-referrer"),
        "permissions": "camera=()" in answer["permissions-policy"],
        "cache": answer.status_code != 200
        or not address.path.startswith(PRIVATE)
        or "no-store" in kept,
    }
    return [name for name, held in holds.items() if not held]


def test_no_page_is_framed_sniffed_or_kept() -> None:
    browser = Client(raise_request_exception=False)
    browser.force_login(superuser())

    wrong = {str(address): wrong_with(address, browser.get(address.path)) for address in ADDRESSES}

    assert {path: faults for path, faults in wrong.items() if faults} == {}


HOSTILE_NEXT = [
    "https://evil.example/", "//evil.example/", "///evil.example/", "/\\evil.example/", "\\\\evil.example/",
    "http:evil.example", "https:/evil.example", "javascript:alert(1)", "data:text/html,x", "/%09/evil.example",
    " //evil.example", "\t//evil.example/", "https://testserver@evil.example/", "https://testserver.evil.example/",
    "//evil%E3%80%82example",
]  # fmt: skip


def leads_away(answer: Any) -> bool:
    """Whether a browser would go to another site: it drops tabs and takes a backslash for a slash."""
    place = re.sub(r"[\t\r\n]", "", answer.get("location", "")).strip().replace("\\", "/")
    return not place.startswith("/") or place.startswith("//") if place else False


@pytest.mark.parametrize("target", HOSTILE_NEXT)
def test_signing_in_and_out_never_leads_to_another_site(client: Client, target: str) -> None:
    person = factories.user()
    sign_in = {"login": person.email, "password": factories.PASSWORD, "next": target}

    first = client.post("/accounts/login/", sign_in)
    assert first.status_code == 302
    again = client.get("/accounts/login/", {"next": target})
    asked = client.post(f"/accounts/reauthenticate/?next={target}", {"password": factories.PASSWORD, "next": target})  # fmt: skip
    out = client.post("/accounts/logout/", {"next": target})
    second = Client().post(f"/accounts/login/?next={target}", sign_in)
    made = Client().post(
        "/accounts/signup/",
        {"email": factories.marker_address(), "password1": "a long pass phrase", "organization": "A", "next": target},
    )  # fmt: skip

    for answer in (first, again, asked, out, second, made):
        assert not leads_away(answer), answer["location"]


@pytest.mark.parametrize("host", ["evil.example", "testserver.evil.example", "testserver:x", "evil.example:80", "a@b"])  # fmt: skip
def test_an_invented_host_is_refused_and_is_in_no_mail(
    client: Client, mailoutbox: list[Any], host: str
) -> None:
    person = factories.user()

    answers = [
        client.get("/", headers={"host": host}),
        client.post("/accounts/password/reset/", {"email": person.email}, headers={"host": host}),
    ]
    forwarded = client.post(
        "/accounts/password/reset/", {"email": person.email}, headers={"x-forwarded-host": host}
    )

    assert [answer.status_code for answer in answers] == [400, 400]
    assert forwarded.status_code == 302
    assert len(mailoutbox) == 1
    assert host not in mailoutbox[0].body


def test_a_session_that_somebody_planted_is_not_the_one_signed_in_with(client: Client) -> None:
    person = factories.user()
    client.get("/accounts/login/")
    session = client.session
    session["planted"] = True
    session.save()
    planted = session.session_key
    client.cookies["sessionid"] = planted
    before = client.cookies.get("csrftoken")

    client.post("/accounts/login/", {"login": person.email, "password": factories.PASSWORD})

    assert client.cookies["sessionid"].value != planted
    attacker = Client()
    attacker.cookies["sessionid"] = planted
    assert attacker.get("/console/").status_code == 302
    assert before is None or client.cookies["csrftoken"].value != before.value


def test_signing_out_ends_the_session_for_whoever_copied_it(client: Client) -> None:
    client.force_login(factories.member(factories.organization()))
    copied = client.cookies["sessionid"].value

    client.post("/accounts/logout/")

    thief = Client()
    thief.cookies["sessionid"] = copied
    assert thief.get("/console/")["location"].startswith("/accounts/login/")


def test_a_new_password_ends_every_other_session(client: Client) -> None:
    person = factories.member(factories.organization())
    other = Client()
    for browser in (client, other):
        browser.post("/accounts/login/", {"login": person.email, "password": factories.PASSWORD})
    assert other.get("/console/")["location"].startswith("/o/")

    done = client.post(
        "/accounts/password/change/",
        {"oldpassword": factories.PASSWORD, "password1": "another long phrase", "password2": "another long phrase"},
    )  # fmt: skip

    assert done.status_code == 302
    assert other.get("/console/")["location"].startswith("/accounts/login/")


def test_cookies_are_out_of_reach_of_scripts_and_other_sites(client: Client, settings: Any) -> None:
    person = factories.user()
    client.post("/accounts/login/", {"login": person.email, "password": factories.PASSWORD})

    for name in ("sessionid", "csrftoken"):
        cookie = client.cookies[name]
        assert cookie["httponly"] is True
        assert cookie["samesite"] == "Lax"
