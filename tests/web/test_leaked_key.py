"""The key leak page: whoever brings a key stops it, and learns nothing."""

from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.audit import SYSTEM
from accounts.models import AuditEvent
from billing import alerts
from billing.models import Alert
from keys.secrets import new_secret
from keys.services import revoke, rotate
from tests import factories
from tests.web.pages import safe

pytestmark = pytest.mark.django_db
URL = "/security/leaked-key/"


@pytest.fixture(autouse=True)
def _fresh() -> None:
    cache.clear()


def bring(client: Client, secret: str) -> Any:
    return client.post(URL, {"key": secret})


def test_a_found_key_is_revoked_its_owner_told_and_it_is_on_record(client: Client) -> None:
    tenant = factories.organization()
    owner = factories.member(tenant)
    minted = factories.key(tenant, name="backend")

    answer = bring(client, f"  {minted.secret}\n")

    minted.key.refresh_from_db()
    assert answer.status_code == 200
    assert minted.key.status == "revoked"
    event = AuditEvent.objects.get(target=minted.key.id, action="key.revoked")
    assert event.after["because"] == "found in public and reported"
    assert event.ip_address == "127.0.0.1"
    (alert,) = Alert.objects.filter(organization=tenant)
    assert minted.key.label in alert.message
    alerts.send_mails()
    (sent,) = [message for message in mail.outbox if owner.email in message.to]
    assert "/keys/" in sent.body
    for text in (answer.content.decode(), sent.body, alert.message, str(event.after)):
        assert minted.secret not in text


def test_the_answer_is_the_same_whether_or_not_there_is_such_a_key(
    client: Client,
) -> None:
    minted = factories.key(factories.organization())
    gone = factories.key(factories.organization())
    revoke(gone.key, actor=SYSTEM)

    def page(secret: str) -> str:
        text = bring(client, secret).content.decode()
        return text[text.index("<h1") : text.index("<form")]

    answers = {
        page(minted.secret), page(minted.secret), page(gone.secret), page(new_secret("inference")),
        page("thk_" + "x" * 49), page("nonsense"),
    }  # fmt: skip

    assert len(answers) == 1


def test_what_has_a_wrong_checksum_is_looked_up_nowhere(client: Client) -> None:
    minted = factories.key(factories.organization())
    wrong = minted.secret[:-1] + ("A" if minted.secret[-1] != "A" else "B")

    bring(client, wrong)  # what the first visit loads is loaded
    with CaptureQueriesContext(connection) as asked:
        bring(client, wrong)

    assert not [query for query in asked if "keys_" in query["sql"]]

    minted.key.refresh_from_db()
    assert minted.key.status == "active"


def test_a_secret_that_was_rotated_out_ends_and_the_key_goes_on(client: Client) -> None:
    minted = factories.key(factories.organization())
    rotate(minted.key, grace=timedelta(days=1), actor=SYSTEM)

    bring(client, minted.secret)

    minted.key.refresh_from_db()
    assert minted.key.status == "active"
    assert not minted.key.retired_secrets.get().is_accepted


def test_nobody_tries_keys_there_by_the_thousand(client: Client) -> None:
    statuses = [bring(client, new_secret("inference")).status_code for _ in range(25)]

    assert statuses[:20] == [200] * 20
    assert set(statuses[20:]) == {429}


def test_the_page_is_linked_and_keeps_what_is_typed_out_of_sight(client: Client) -> None:
    page = client.get(URL)

    assert page.status_code == 200
    assert b'type="password"' in page.content
    assert reverse("leaked_key") in client.get("/security/").content.decode()
    safe(page)
