"""Operators and money: agreements are set, documents corrected, history only looked at."""

from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEvent, TenantModel
from billing.audit import audit
from billing.models import (
    Account,
    Agreement,
    Invoice,
    PlanVersion,
    StripeEvent,
    Subscription,
    TopUp,
)
from billing.plans import terms_of
from billing.selectors import balance_of
from tests import factories
from tests.live import Stripe

pytestmark = pytest.mark.django_db
USD = 1_000_000_000


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(factories.user(is_staff=True, is_superuser=True))
    return client


def page(model: str, view: str = "changelist", *arguments: object) -> str:
    return reverse(f"admin:billing_{model}_{view}", args=[quote(one) for one in arguments])


def moment(field: str, days: float) -> dict[str, str]:
    at = timezone.now() + timedelta(days=days)
    return {f"{field}_0": f"{at:%Y-%m-%d}", f"{field}_1": f"{at:%H:%M:%S}"}


@pytest.mark.parametrize(
    "name", [m._meta.model_name for m in apps.get_app_config("billing").get_models() if admin.site.is_registered(m)]
)  # fmt: skip
def test_every_table_opens_with_something_in_it(operator: Client, name: str) -> None:
    tenant = factories.organization(plan="pro")
    factories.top_up(tenant)
    factories.payment_method(tenant)
    factories.alert(tenant)
    factories.invoice(tenant)

    assert operator.get(page(name)).status_code == 200
    model = apps.get_model("billing", name)
    rows = model.objects.all()
    if issubclass(model, TenantModel):
        rows = rows.for_organization(tenant)  # others' rows may go while one looks
    first = rows.first()
    if first is not None:
        assert operator.get(page(name, "change", first.pk)).status_code == 200


@pytest.mark.parametrize(
    "name", ["transfer", "usage", "account", "lease", "topup", "receipt", "refund", "dispute", "stripeevent"]
)  # fmt: skip
def test_history_is_only_looked_at(operator: Client, name: str) -> None:
    tenant = factories.organization()
    factories.top_up(tenant)

    assert operator.get(page(name, "add")).status_code == 403
    first = apps.get_model("billing", name).objects.first()
    if first is not None:
        assert operator.post(page(name, "delete", first.pk), {"post": "yes"}).status_code == 403
        assert operator.post(page(name, "change", first.pk), {}).status_code == 403


def agree(operator: Client, tenant: Any, **fields: object) -> Any:
    data = {
        "organization": tenant.pk, "fee_bps": 0, "rpm": "", "concurrency": "", "agreed_by": "Ada",
        "reference": "MSA-1", **moment("effective_from", -0.001), **fields,
    }  # fmt: skip
    return operator.post(page("agreement", "add"), data)


def test_an_agreement_is_in_force_at_once_and_on_record(operator: Client) -> None:
    tenant = factories.organization(plan="pro")

    assert agree(operator, tenant).status_code == 302

    terms = terms_of(tenant)
    assert (terms.fee_bps, terms.rpm, terms.agreement is None) == (0, 6_000, False)
    event = AuditEvent.objects.get(organization=tenant, action="agreement.set")
    assert (event.actor_kind, event.target) == ("staff", "MSA-1")


def test_agreements_never_overlap_and_the_form_says_so(operator: Client) -> None:
    tenant = factories.organization(plan="pro")
    agree(operator, tenant)

    answer = agree(operator, tenant, **moment("effective_from", 3))

    assert "Another agreement is in force" in answer.content.decode()
    assert Agreement.objects.filter(organization=tenant).count() == 1


def test_of_an_agreement_in_force_only_its_end_moves(operator: Client) -> None:
    tenant = factories.organization(plan="pro")
    agree(operator, tenant)
    agreement = Agreement.objects.get(organization=tenant)

    operator.post(
        page("agreement", "change", agreement.pk), {"fee_bps": 5, **moment("effective_until", 5)}
    )

    agreement.refresh_from_db()
    assert agreement.fee_bps == 0
    assert agreement.effective_until is not None
    assert terms_of(tenant, timezone.now() + timedelta(days=6)).fee_bps == 300


def test_an_organization_is_put_on_a_plan(operator: Client) -> None:
    tenant = factories.organization(plan="starter")
    data = {"organization": tenant.pk, "plan": "enterprise", "note": "order 7", **moment("starts_at", 0)}  # fmt: skip

    answer = operator.post(page("subscription", "add"), data)

    assert answer.status_code == 302, answer.content.decode()
    assert Subscription.objects.get(organization=tenant).source == "operator"
    assert terms_of(tenant, timezone.now() + timedelta(minutes=1)).plan.slug == "enterprise"


def test_a_plan_changes_by_a_new_version_alone(operator: Client) -> None:
    version = PlanVersion.objects.get(plan_id="starter")

    answer = operator.post(page("planversion", "change", version.pk), {"fee_bps": 1})

    assert answer.status_code == 403
    assert PlanVersion.objects.get(plan_id="starter").fee_bps == 300


def test_a_credit_note_is_added_where_invoices_are(operator: Client) -> None:
    tenant = factories.organization()
    invoice = factories.invoice(tenant)
    before = balance_of(tenant).balance_nano
    data = {"corrects": invoice.pk, "reason": "a wrong price", "amount": "0.01"}

    too_much = operator.post(page("invoice", "add"), data)

    assert "is left to correct" in too_much.content.decode()
    factories.charge(tenant, 500_000_000)
    assert balance_of(tenant).balance_nano < before
    assert Invoice.objects.filter(corrects=invoice).count() == 0


def test_a_credit_note_gives_the_money_back(operator: Client) -> None:
    tenant = factories.organization(credit_nano=USD)
    factories.charge(tenant, 500_000_000)
    invoice = factories.invoice(tenant)
    before = balance_of(tenant).balance_nano

    answer = operator.post(
        page("invoice", "add"),
        {"corrects": invoice.pk, "reason": "a wrong price", "amount": "0.25"},
    )

    assert answer.status_code == 302, answer.content.decode()
    assert Invoice.objects.get(corrects=invoice).total_nano == 250_000_000
    assert balance_of(tenant).balance_nano == before + 250_000_000
    assert audit(tenant) == []


def test_a_failed_event_is_replayed(operator: Client, stripe: Stripe) -> None:
    tenant = factories.organization()
    owner = Client()
    owner.force_login(factories.member(tenant))
    owner.post(reverse("top_up", args=[tenant.slug]), {"amount": "50"})
    top_up = TopUp.objects.get(organization=tenant)
    assert stripe.pay(top_up.checkout_url) == 303
    [paid] = stripe.events("payment_intent.succeeded")
    event = StripeEvent.objects.create(
        id=paid["id"], type=paid["type"], payload=paid, status="failed", error="the database was away",
        created_at=timezone.now(),
    )  # fmt: skip
    data = {"action": "replay", "_selected_action": [event.pk]}

    for _ in range(2):
        operator.post(page("stripeevent"), data)

    event.refresh_from_db()
    assert event.status == StripeEvent.Status.PROCESSED
    assert balance_of(tenant).balance_nano == 50 * USD


@pytest.mark.parametrize(
    ("payload", "outcome"),
    [
        ({}, "Nothing to replay: the stored event has no object."),
        ({"data": {}}, "Nothing to replay: the stored event has no object."),
        ({"data": {"object": {"object": "customer"}}}, "Of no concern to us"),
    ],
)
def test_an_event_stored_without_its_own_id_is_replayed_by_its_rows(
    operator: Client, payload: dict[str, object], outcome: str
) -> None:
    StripeEvent.objects.create(
        id="evt_bare", type="customer.created", payload=payload, status="failed", error="lost",
        created_at=timezone.now(),
    )  # fmt: skip
    data = {"action": "replay", "_selected_action": ["evt_bare"]}

    answer = operator.post(page("stripeevent"), data, follow=True)

    assert answer.status_code == 200
    [message] = [str(said) for said in answer.context["messages"]]
    assert message.startswith("evt_bare: ")
    assert outcome in message


def test_stripe_is_asked_how_a_payment_stands(operator: Client, stripe: Stripe) -> None:
    tenant = factories.organization()
    owner = Client()
    owner.force_login(factories.member(tenant))
    owner.post(reverse("top_up", args=[tenant.slug]), {"amount": "50"})
    top_up = TopUp.objects.get(organization=tenant)
    stripe.pay(top_up.checkout_url)

    operator.post(page("topup"), {"action": "ask_stripe", "_selected_action": [top_up.pk]})

    assert balance_of(tenant).balance_nano == 50 * USD


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE billing_topup SET amount_nano = amount_nano * 2",
        "UPDATE billing_topup SET status = 'pending' WHERE status = 'succeeded'",
        "DELETE FROM billing_topup",
        "UPDATE billing_series SET last_number = last_number - 1",
        "DELETE FROM billing_series",
        "UPDATE billing_transfer SET hash = hash",
        "DELETE FROM billing_usage",
        "TRUNCATE billing_topup CASCADE",
        "TRUNCATE billing_dispute",
    ],
)
def test_what_was_paid_and_numbered_is_not_rewritten_by_sql(statement: str) -> None:
    tenant = factories.organization()
    factories.top_up(tenant)
    factories.invoice(tenant)

    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_money_is_read_in_dollars(operator: Client) -> None:
    tenant = factories.organization(credit_nano=1_234_500_000_000)

    shown = operator.get(page("account")).content.decode()
    wallet = Account.objects.for_organization(tenant).get(kind="wallet")
    alone = operator.get(page("account", "change", wallet.pk)).content.decode()

    for each in (shown, alone):
        assert "(USD)" in each
        assert "1234.50<" in each
        assert "1234500000000" not in each
    assert operator.get(page("account") + "?o=3").status_code == 200  # still in order of amounts
