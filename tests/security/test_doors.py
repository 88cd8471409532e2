"""Guessing, flooding and asking who has an account: limited, and answered the same (K8)."""

import re
from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.contrib.auth import hashers
from django.test import Client

from accounts.audit import SYSTEM
from accounts.members import invite
from accounts.roles import Role
from tests import factories

pytestmark = pytest.mark.django_db

LOGIN = "/accounts/login/"


def sign_in(client: Client, email: str, password: str, address: str = "127.0.0.1") -> Any:
    return client.post(LOGIN, {"login": email, "password": password}, REMOTE_ADDR=address)


def said(answer: Any) -> str:
    """What a person reads, without what differs each time."""
    page = answer.content.decode()
    return re.sub(r'nonce="[^"]+"|value="[^"]+"', "", page)


def test_guessing_one_persons_password_stops_even_from_many_addresses(client: Client) -> None:
    person = factories.user()

    for number in range(5):
        sign_in(client, person.email, "wrong", f"203.0.113.{number}")
    right = sign_in(client, person.email, factories.PASSWORD, "198.51.100.7")

    assert "Too many failed" in right.content.decode()
    assert "_auth_user_id" not in client.session


def test_one_address_does_not_try_everybody(client: Client) -> None:
    answers = [
        sign_in(client, factories.marker_address(), "wrong", "203.0.113.9") for _ in range(12)
    ]

    assert "Too many failed" in said(answers[-1])
    assert "Too many failed" not in said(answers[0])


def test_a_flood_of_sign_ins_is_answered_with_429(client: Client) -> None:
    answers = [client.post(LOGIN, {}, REMOTE_ADDR="203.0.113.10") for _ in range(31)]

    assert answers[0].status_code == 200
    assert answers[-1].status_code == 429
    assert b"too often" in answers[-1].content


@pytest.mark.parametrize(
    ("path", "data", "most"),
    [
        ("/accounts/signup/", {"email": "x"}, 20),
        ("/accounts/password/reset/", {"email": "nobody@example.com"}, 20),
        ("/docs/search/", None, 240),
        ("/invite/nonsense/", None, 30),
    ],
)
def test_every_door_is_limited(client: Client, path: str, data: Any, most: int) -> None:
    def knock(address: str) -> int:
        if data is None:
            return client.get(path, REMOTE_ADDR=address).status_code
        return client.post(path, data, REMOTE_ADDR=address).status_code

    statuses = [knock("203.0.113.11") for _ in range(most + 1)]

    assert 429 not in statuses[: 5 if data else most]
    assert statuses[-1] == 429
    assert knock("203.0.113.12") != 429 or data is not None


def test_the_admin_has_no_door_of_its_own(client: Client) -> None:
    person = factories.user(is_staff=True, is_superuser=True)
    guess = {"username": person.email, "password": factories.PASSWORD}

    answer = client.post("/admin/login/", guess)

    assert answer.status_code == 302
    assert answer["location"].startswith(LOGIN)
    assert "_auth_user_id" not in client.session
    assert client.post("/admin/", guess).status_code == 302


def test_a_code_from_the_mail_is_guessed_three_times_at_most(
    client: Client, mailoutbox: list[Any]
) -> None:
    client.post(
        "/accounts/signup/",
        {"email": "new@example.com", "password1": "a long pass phrase", "organization": "New"},
    )
    code = re.search(r"^([A-Z0-9-]{6,9})$", mailoutbox[0].body, re.MULTILINE)
    assert code

    for _ in range(3):
        client.post("/accounts/confirm-email/", {"code": "ZZZZZZ"})
    client.post("/accounts/confirm-email/", {"code": code.group(1)})

    assert client.get("/console/")["location"].startswith(LOGIN)


def test_a_second_factor_is_not_guessed(client: Client) -> None:
    person = factories.user()
    TOTP.activate(person, generate_totp_secret())
    assert sign_in(client, person.email, factories.PASSWORD)["location"] == "/accounts/2fa/authenticate/"  # fmt: skip

    pages = [client.post("/accounts/2fa/authenticate/", {"code": f"{n:06}"}) for n in range(7)]

    assert "Too many failed" in pages[-1].content.decode()
    assert client.get("/console/")["location"].startswith(LOGIN)


def test_signing_in_says_the_same_of_a_wrong_password_and_of_nobody(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, unknown = factories.user().email, factories.marker_address()
    hashed: list[str] = []
    monkeypatch.setattr(
        hashers.MD5PasswordHasher, "encode",
        lambda self, password, salt: hashed.append(password) or f"md5${salt}$x",
    )  # fmt: skip

    pages = [said(sign_in(Client(), address, "wrong")) for address in (known, unknown)]

    assert pages[0].replace(known, "") == pages[1].replace(unknown, "")
    # Nobody's password is hashed as well, so that the answer takes as long.
    assert hashed.count("wrong") == 2


def test_a_reset_says_the_same_and_tells_only_the_owner(
    client: Client, mailoutbox: list[Any]
) -> None:
    known, unknown = factories.user().email, factories.marker_address()

    answers = [
        client.post("/accounts/password/reset/", {"email": address}) for address in (known, unknown)
    ]

    assert {answer.status_code for answer in answers} == {302}
    assert answers[0]["location"] == answers[1]["location"]
    links = {mail.to[0]: re.findall(r"/password/reset/key/\S+", mail.body) for mail in mailoutbox}
    assert len(links[known]) == 1
    assert not links.get(unknown)


def test_inviting_says_the_same_whether_somebody_has_an_account(
    mailoutbox: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    tenant = factories.organization()
    owner = factories.member(tenant)
    known, unknown = factories.user().email, factories.marker_address()
    browser = Client()
    browser.force_login(owner)

    with django_capture_on_commit_callbacks(execute=True):
        answers = [
            browser.post(f"/o/{tenant.slug}/members/invite/", {"email": address, "role": "viewer"})
            for address in (known, unknown)
        ]

    assert {answer["location"] for answer in answers} == {f"/o/{tenant.slug}/members/"}
    page = browser.get(f"/o/{tenant.slug}/members/").content.decode()
    assert known in page
    assert unknown in page
    bodies = [re.sub(r"/invite/\S+", "", mail.body) for mail in mailoutbox]
    assert bodies[0].replace(known, "") == bodies[1].replace(unknown, "")


def test_an_organization_does_not_flood_others_with_mail(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenhub.web.console.members.INVITATIONS_PER_HOUR", 3)
    tenant = factories.organization()
    client.force_login(factories.member(tenant))

    pages = [
        client.post(
            f"/o/{tenant.slug}/members/invite/",
            {"email": factories.marker_address(), "role": "viewer"},
        )
        for _ in range(4)
    ]

    assert [page.status_code for page in pages[:3]] == [302] * 3
    assert b"more mail than we send" in pages[3].content


def test_an_invitations_address_is_not_guessed(client: Client) -> None:
    tenant = factories.organization()
    owner = factories.membership(tenant, Role.OWNER)
    made = invite(tenant, factories.marker_address(), Role.VIEWER, by=owner.user, actor=SYSTEM)

    # 256 bits of randomness; the database holds a digest alone.
    assert len(made.digest) == 32
    assert client.get(f"/invite/{made.pk}/").status_code == 404
