"""What operators do in the admin is on record for all operators, and stays there."""

import pytest
from django.contrib.admin.models import LogEntry
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone

from accounts.errors import NotAllowed
from accounts.models import User
from accounts.personal import delete_account
from billing.models import StripeEvent
from routing.models import Offering, Provider
from routing.seed.load import load_demo_catalogue
from tests import factories
from tests.web.pages import safe
from tokenhub.celery import app
from tokenhub.operations.models import TaskRun
from tokenhub.web import testing

pytestmark = pytest.mark.django_db
PAYLOAD = {"id": "evt_deed", "type": "x", "created": 1_700_000_000, "data": {"object": {"id": "x"}}}
LIST = "/admin/admin/logentry/"


@pytest.fixture
def operator(client: Client) -> User:
    person = factories.user(is_staff=True, is_superuser=True)
    client.force_login(person)
    return person


def act(client: Client, where: str, action: str, *chosen: object) -> None:
    answer = client.post(
        where, {"action": action, "_selected_action": [str(each) for each in chosen]}
    )
    assert answer.status_code == 302, answer.content


def test_every_action_is_on_record_with_who_did_it(
    client: Client, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_demo_catalogue("http://127.0.0.1:9")
    monkeypatch.setattr(testing, "probe_now", lambda targets: {})
    monkeypatch.setattr(app, "send_task", lambda name, **_: None)
    provider = Provider.objects.get(slug="deepseek")
    event = StripeEvent.objects.create(
        id="evt_deed", type="x", status="failed", payload=PAYLOAD, created_at=timezone.now()
    )
    TaskRun.objects.create(task="billing.tasks.reap_leases", run_id="x", outcome="succeeded", started_at=event.received_at)  # fmt: skip

    act(client, "/admin/routing/provider/", "test_now", provider.pk)
    act(client, "/admin/billing/stripeevent/", "replay", event.pk)
    act(client, "/admin/operations/taskrun/", "run_now", "billing.tasks.reap_leases")
    offering = Offering.objects.filter(endpoint__provider=provider).first()
    assert offering is not None
    client.post(f"/admin/routing/offering/{offering.pk}/delete/", {"post": "yes"})

    said = {entry.get_change_message() for entry in LogEntry.objects.filter(user=operator)}
    assert {"Tested now", "Run now"} <= said
    assert any(each.startswith("Replayed: ") for each in said)
    page = client.get(LIST)
    safe(page)
    text = page.content.decode()
    assert all(each in text for each in ("Tested now", "Run now", operator.email, "evt_deed"))


def test_the_record_is_neither_changed_nor_deleted_by_anybody(
    client: Client, operator: User
) -> None:
    Provider.objects.create(slug="p", name="P")
    client.post("/admin/routing/region/add/", {"slug": "moon", "name": "The Moon"})
    entry = LogEntry.objects.get(user=operator)

    assert client.get(f"{LIST}{entry.pk}/delete/").status_code == 403
    assert client.post(f"{LIST}{entry.pk}/change/", {"object_repr": "x"}).status_code == 403
    assert "delete_selected" not in client.get(LIST).content.decode()
    with connection.cursor() as cursor:
        cursor.execute(
            "SET CONSTRAINTS ALL IMMEDIATE"
        )  # no event that is pending stands in the way
    for statement in (
        "UPDATE django_admin_log SET object_repr = 'x'",
        "DELETE FROM django_admin_log",
        "TRUNCATE django_admin_log",
    ):
        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)


def test_an_operator_does_not_go_with_the_record(client: Client, operator: User) -> None:
    client.post("/admin/routing/region/add/", {"slug": "moon", "name": "The Moon"})
    assert client.get(f"/admin/accounts/user/{operator.pk}/delete/").status_code == 403

    for is_staff in (True, False):
        User.objects.filter(pk=operator.pk).update(is_staff=is_staff)
        with pytest.raises(NotAllowed, match="stays on record"):
            delete_account(operator, ip_address=None)

    assert LogEntry.objects.filter(user=operator).exists()


def test_who_never_operated_may_go(client: Client) -> None:
    person = factories.user()

    delete_account(person, ip_address=None)

    assert not User.objects.filter(pk=person.pk).exists()


def test_who_may_not_see_the_record_does_not(client: Client) -> None:
    client.force_login(factories.user(is_staff=True))

    assert client.get(LIST).status_code == 403
