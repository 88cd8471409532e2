"""Adjusting balances: never without a reason, never much alone, by the ledger alone, in the trail."""

import threading
import uuid
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.db import DatabaseError, connection, connections, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.audit import Actor
from accounts.models import AuditEvent, User
from billing import adjustments
from billing.audit import audit
from billing.errors import AdjustmentRefused, InsufficientBalance
from billing.models import Account, Adjustment, Transfer
from billing.models.adjustments import ALONE_UP_TO_NANO
from billing.selectors import balance_of
from billing.services import post
from tests import factories
from tests.web.pages import safe

USD = 1_000_000_000
WHY = "Goodwill after the outage"
MUCH = ALONE_UP_TO_NANO + USD


def operator() -> User:
    return factories.user(is_staff=True, is_superuser=True)


def ask(tenant: Any, amount_nano: int, *, by: User, reason: str = WHY) -> Adjustment:
    return adjustments.ask(tenant, amount_nano, reason=reason, by=by, actor=Actor.staff(by.email))


def balance(tenant: Any) -> int:
    return balance_of(tenant).balance_nano


@pytest.mark.django_db
@pytest.mark.parametrize("reason", ["", "   ", "because", "a        b"])
def test_without_a_reason_it_is_refused(reason: str) -> None:
    tenant = factories.organization()

    with pytest.raises(AdjustmentRefused):
        ask(tenant, USD, by=operator(), reason=reason)
    with pytest.raises(DatabaseError), transaction.atomic():
        Adjustment.objects.create(
            organization=tenant, amount_nano=USD, reason=reason, requested_by=operator()
        )

    assert balance(tenant) == 0


@pytest.mark.django_db
def test_a_little_is_done_at_once_and_is_in_ledger_and_trail() -> None:
    tenant, person = factories.organization(), operator()

    made = ask(tenant, 25 * USD, by=person)
    taken = ask(tenant, -5 * USD, by=person)

    assert (made.status, taken.status) == ("approved", "approved")
    assert balance(tenant) == 20 * USD
    entry = Transfer.objects.for_organization(tenant).get(reference=f"adjustment:{made.id}")
    assert (entry.kind, entry.signed_nano, entry.description) == ("adjustment", 25 * USD, WHY)
    (event, _) = AuditEvent.objects.filter(organization=tenant, action="balance.adjusted").order_by(
        "id"
    )
    assert (event.actor, event.after["reason"]) == (person.email, WHY)
    assert [each for each in audit() if tenant.id in str(each)] == []


@pytest.mark.django_db
@pytest.mark.parametrize("amount_nano", [MUCH, -MUCH])
def test_much_takes_another_person(amount_nano: int) -> None:
    tenant = factories.organization(credit_nano=2 * MUCH)
    person = operator()
    asked = ask(tenant, amount_nano, by=person)
    assert (asked.status, balance(tenant)) == ("pending", 2 * MUCH)
    with pytest.raises(AdjustmentRefused):
        adjustments.approve(asked, by=person, actor=Actor.staff(person.email))

    other = operator()
    adjustments.approve(asked, by=other, actor=Actor.staff(other.email))

    assert balance(tenant) == 2 * MUCH + amount_nano
    with pytest.raises(AdjustmentRefused):
        adjustments.approve(asked, by=other, actor=Actor.staff(other.email))
    with pytest.raises(AdjustmentRefused):
        adjustments.reject(asked, by=other, actor=Actor.staff(other.email))
    assert balance(tenant) == 2 * MUCH + amount_nano


@pytest.mark.django_db
def test_many_small_ones_of_a_day_are_much() -> None:
    tenant, person = factories.organization(), operator()

    statuses = [ask(tenant, 40 * USD, by=person).status for _ in range(3)]
    taken = ask(tenant, -40 * USD, by=operator())

    assert statuses == ["approved", "approved", "pending"]
    assert taken.status == "pending"
    assert balance(tenant) == 80 * USD


@pytest.mark.django_db
def test_a_customer_and_a_former_operator_decide_nothing() -> None:
    tenant = factories.organization()
    asked = ask(tenant, MUCH, by=operator())
    former = factories.user(is_staff=True, is_active=False)

    for person in (factories.member(tenant), former):
        with pytest.raises(AdjustmentRefused):
            ask(tenant, USD, by=person)
        with pytest.raises(AdjustmentRefused):
            adjustments.approve(asked, by=person, actor=Actor.staff(person.email))

    assert balance(tenant) == 0


@pytest.mark.django_db
def test_more_than_there_is_cannot_be_taken() -> None:
    tenant = factories.organization(credit_nano=USD)

    with pytest.raises(InsufficientBalance), transaction.atomic():
        ask(tenant, -2 * USD, by=operator())

    assert balance(tenant) == USD
    assert not Adjustment.objects.for_organization(tenant).exists()


@pytest.mark.django_db
def test_the_database_refuses_what_the_code_would() -> None:
    tenant, person = factories.organization(), operator()
    asked = ask(tenant, MUCH, by=person)
    done = ask(tenant, USD, by=person)

    def refused(statement: str, *arguments: Any) -> None:
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement, arguments)

    own = "UPDATE billing_adjustment SET status = 'approved', decided_by_id = requested_by_id, decided_at = now() WHERE id = %s"
    refused(own, asked.id[4:])
    refused("UPDATE billing_adjustment SET amount_nano = 1 WHERE id = %s", asked.id[4:])
    refused("UPDATE billing_adjustment SET status = 'approved' WHERE id = %s", asked.id[4:])
    refused(
        "UPDATE billing_adjustment SET reason = 'Something else entirely' WHERE id = %s",
        done.id[4:],
    )
    refused("DELETE FROM billing_adjustment WHERE id = %s", asked.id[4:])
    refused("TRUNCATE billing_adjustment")
    for reference in (f"adjustment:{asked.id}", f"adjustment:adj_{uuid.uuid4().hex}", "x"):
        with pytest.raises(DatabaseError), transaction.atomic():
            post(
                tenant, Transfer.Kind.ADJUSTMENT, debit=Account.Kind.CREDIT, credit=Account.Kind.WALLET,
                amount_nano=MUCH, reference=reference,
            )  # fmt: skip
    assert balance(tenant) == USD


def test_two_operators_at_once_move_the_money_once(committed: None) -> None:
    tenant = factories.organization()
    asked = ask(tenant, MUCH, by=operator())
    said: list[str] = []

    def decide(person: User) -> None:
        try:
            said.append(
                adjustments.approve(asked, by=person, actor=Actor.staff(person.email)).status
            )
        except AdjustmentRefused:
            said.append("refused")
        finally:
            connections.close_all()

    people = [threading.Thread(target=decide, args=[operator()]) for _ in range(2)]
    for each in people:
        each.start()
    for each in people:
        each.join()

    assert sorted(said) == ["approved", "refused"]
    assert balance(tenant) == MUCH


# In the admin

ADD, LIST = "admin:billing_adjustment_add", "admin:billing_adjustment_changelist"


def inside(client: Client, **extra: Any) -> User:
    person = factories.user(is_staff=True, **extra)
    client.force_login(person)
    return person


def form(tenant: Any, amount: str, reason: str = WHY) -> dict[str, str]:
    return {"organization": tenant.pk, "amount": amount, "reason": reason}


@pytest.mark.django_db
def test_an_operator_asks_and_another_approves(client: Client) -> None:
    tenant = factories.organization()
    first = inside(client, is_superuser=True)
    safe(client.get(reverse(ADD)))
    answer = client.post(reverse(ADD), form(tenant, "250.50"))
    assert answer.status_code == 302
    asked = Adjustment.objects.for_organization(tenant).get()
    approve = {"action": "approve", "_selected_action": [asked.id]}
    page = client.post(reverse(LIST), approve, follow=True)
    assert "takes two people" in page.content.decode()

    inside(client, is_superuser=True)
    safe(client.get(reverse(LIST)))
    client.post(reverse(LIST), approve)

    assert balance(tenant) == 250_500_000_000
    assert LogEntry.objects.filter(user=first, object_id=asked.id).exists()
    safe(client.get(reverse("admin:billing_adjustment_change", args=[asked.id])))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("amount", "reason"),
    [("0", WHY), ("5", "why"), ("x", WHY), ("-5", WHY), ("2000000", WHY), ("", WHY)],
)
def test_what_cannot_be_is_said_beside_the_form(client: Client, amount: str, reason: str) -> None:
    tenant = factories.organization()
    inside(client, is_superuser=True)

    answer = client.post(reverse(ADD), form(tenant, amount, reason))

    assert answer.status_code == 200
    assert "errornote" in answer.content.decode()
    assert not Adjustment.objects.exists()
    assert balance(tenant) == 0


@pytest.mark.django_db
def test_an_operator_needs_the_right_to_ask_and_to_decide(client: Client) -> None:
    tenant = factories.organization()
    asked = ask(tenant, MUCH, by=operator())
    person = inside(client)
    person.user_permissions.add(Permission.objects.get(codename="view_adjustment"))

    assert client.get(reverse(ADD)).status_code == 403
    client.post(reverse(LIST), {"action": "approve", "_selected_action": [asked.id]})

    asked.refresh_from_db()
    assert asked.status == "pending"
    assert asked.requested_at < timezone.now()
