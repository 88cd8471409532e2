"""Signing up: to the first organization, telling strangers nothing."""

import re

import pytest
from django.test import Client

from tests import factories

pytestmark = pytest.mark.django_db


def test_sign_up_verify_and_arrive(client: Client) -> None:
    from django.core import mail

    client.post(
        "/accounts/signup/",
        {"email": "new@example.com", "password1": "a long pass phrase", "organization": "New Co"},
    )
    code = re.search(r"^([A-Z0-9-]{6,9})$", mail.outbox[0].body, re.MULTILINE)
    assert code
    client.post("/accounts/confirm-email/", {"code": code.group(1)})

    arrived = client.get("/console/", follow=True)

    assert arrived.redirect_chain[-1][0] == "/o/new-co/"
    assert b"Overview" in arrived.content


def test_signing_up_again_tells_a_stranger_nothing(client: Client) -> None:
    factories.user("known@example.com")
    data = {"password1": "a long pass phrase", "organization": "Co"}

    known = client.post("/accounts/signup/", {**data, "email": "known@example.com"})
    unknown = client.post("/accounts/signup/", {**data, "email": "unknown@example.com"})

    assert known.status_code == unknown.status_code
    assert known["location"] == unknown["location"]
