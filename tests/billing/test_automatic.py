"""Automatic top-ups: one at a time, within the limit, and never silent about a refusal."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts.audit import SYSTEM
from accounts.models import Organization
from billing import alerts
from billing.audit import audit
from billing.errors import InvalidAmount
from billing.models import Alert, AutomaticTopUp, PaymentMethod, TopUp
from billing.payments import automatic, gate, reconcile
from billing.selectors import balance_of
from tests import factories
from tests.billing.test_top_ups import USD, deliver, start
from tests.live import Stripe


def ready(stripe: Stripe, *, card: str = Stripe.CARD, cap_usd: int = 500) -> Organization:
    """Somebody whose balance has fallen below the threshold, with a saved card."""
    tenant = factories.organization()
    factories.member(tenant)
    stripe.pay(start(tenant, 5 * USD, save_card=True).checkout_url, card)
    deliver(stripe)
    automatic.configure(
        tenant, enabled=True, threshold_nano=10 * USD, amount_nano=50 * USD,
        monthly_cap_nano=cap_usd * USD, actor=SYSTEM,
        payment_method=PaymentMethod.objects.get(organization=tenant),
    )  # fmt: skip
    return tenant


def tries(tenant: Organization) -> list[str]:
    return list(
        TopUp.objects.filter(organization=tenant, source="automatic").values_list(
            "status", flat=True
        )
    )


def problem(tenant: Organization) -> str:
    return AutomaticTopUp.objects.get(organization=tenant).problem


def apart(work: Callable[[Any], object], items: Any) -> list[object]:
    """Each in a thread with a connection of its own."""

    def one(item: Any) -> object:
        try:
            return work(item)
        finally:
            connection.close()

    with ThreadPoolExecutor(20) as pool:
        return list(pool.map(one, items))


def test_twenty_who_ask_at_once_are_one_payment(committed: None, stripe: Stripe) -> None:
    tenant = ready(stripe)

    made = apart(lambda _: automatic.run(tenant), range(20))

    assert sum(top_up is not None for top_up in made) == 1
    assert tries(tenant) == ["succeeded"]
    assert balance_of(tenant).balance_nano == 55 * USD
    assert len(stripe.events("payment_intent.succeeded")) == 2
    assert audit(tenant) == []


@pytest.mark.django_db
def test_it_begins_below_the_threshold_and_not_before(stripe: Stripe) -> None:
    tenant = ready(stripe)

    assert tenant in automatic.due()
    assert reconcile.run_automatic() == 1
    assert tenant not in automatic.due()
    assert reconcile.run_automatic() == 0
    assert balance_of(tenant).balance_nano == 55 * USD


@pytest.mark.django_db
def test_the_database_allows_one_open_payment(stripe: Stripe) -> None:
    tenant = factories.organization()
    TopUp.objects.create(organization=tenant, source="automatic", amount_nano=USD)

    with pytest.raises(IntegrityError), transaction.atomic():
        TopUp.objects.create(organization=tenant, source="automatic", amount_nano=USD)


@pytest.mark.django_db
def test_the_monthly_limit_stops_it_and_says_so_once(stripe: Stripe) -> None:
    tenant = ready(stripe, cap_usd=80)
    reconcile.run_automatic()
    factories.charge(tenant, 50 * USD, service_fee_bps=0)

    for _ in range(3):
        assert reconcile.run_automatic() == 0

    assert tries(tenant) == ["succeeded"]
    assert problem(tenant) == "cap_reached"
    assert Alert.objects.filter(organization=tenant, kind="automatic_top_up").count() == 1


@pytest.mark.django_db
def test_a_declined_card_cools_off_longer_each_time(stripe: Stripe, mailoutbox: list[Any]) -> None:
    tenant = ready(stripe, card=Stripe.LATER_DECLINED)
    waits = []

    for _ in range(4):
        assert reconcile.run_automatic() == 1
        assert reconcile.run_automatic() == 0  # no loop
        setting = AutomaticTopUp.objects.get(organization=tenant)
        assert setting.paused_until is not None
        waits.append(round((setting.paused_until - timezone.now()) / timedelta(hours=1)))
        AutomaticTopUp.objects.filter(pk=setting.pk).update(paused_until=timezone.now())
    alerts.send_mails()

    assert waits == [1, 6, 24, 24]
    assert tries(tenant) == ["failed"] * 4
    assert balance_of(tenant).balance_nano == 5 * USD
    assert sum("Automatic top-up failed" in mail.subject for mail in mailoutbox) == 4


@pytest.mark.django_db
def test_a_bank_that_wants_a_person_waits_for_one(stripe: Stripe, mailoutbox: list[Any]) -> None:
    tenant = ready(stripe, card=Stripe.AUTHENTICATION)
    reconcile.run_automatic()
    AutomaticTopUp.objects.filter(organization=tenant).update(paused_until=None)

    assert reconcile.run_automatic() == 0
    alerts.send_mails()
    assert problem(tenant) == "authentication_required"
    assert "confirm" in mailoutbox[0].body

    stripe.pay(start(tenant, 5 * USD).checkout_url, Stripe.CARD)
    deliver(stripe)
    assert problem(tenant) == ""


@pytest.mark.django_db
@pytest.mark.parametrize("fault", ["drop_before", "drop_after", 500])
def test_a_charge_nobody_heard_the_end_of_is_made_once(stripe: Stripe, fault: object) -> None:
    tenant = ready(stripe)
    stripe.control("PUT", "/faults", path="/v1/payment_intents", status=fault, method="POST")
    reconcile.run_automatic()
    assert tries(tenant) == ["pending"]

    reconcile.run_automatic()  # still the same one
    stripe.lift_faults()
    for _ in range(3):
        reconcile.chase(older_than=timedelta(0))

    assert tries(tenant) == ["succeeded"]
    assert balance_of(tenant).balance_nano == 55 * USD
    assert len(stripe.events("payment_intent.succeeded")) == 2
    assert audit(tenant) == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("card", "cause"),
    [(Stripe.LATER_DECLINED, "declined"), (Stripe.AUTHENTICATION, "authentication_required")],
)
def test_a_refusal_that_only_a_message_tells_of_cools_off_all_the_same(
    stripe: Stripe, card: str, cause: str
) -> None:
    tenant = ready(stripe, card=card)
    stripe.control("PUT", "/faults", path="/v1/payment_intents", status="drop_after", method="POST")

    for _ in range(4):
        reconcile.run_automatic()
        deliver(stripe, "payment_intent")
    stripe.lift_faults()
    reconcile.chase(older_than=timedelta(0))

    setting = AutomaticTopUp.objects.get(organization=tenant)
    assert tries(tenant) == ["failed"]
    assert (setting.failures, setting.problem) == (1, cause)
    assert setting.paused_until is not None
    assert Alert.objects.filter(organization=tenant, kind="automatic_top_up").count() == 1


@pytest.mark.django_db
def test_a_payment_on_its_way_is_neither_a_failure_nor_made_again(
    stripe: Stripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = ready(stripe)
    answer = gate.charge_saved_card

    def slow(**what: Any) -> gate.Payment:
        return replace(answer(**what), status="processing", amount_nano=0)

    with monkeypatch.context() as at_the_bank:
        at_the_bank.setattr(gate, "charge_saved_card", slow)
        reconcile.run_automatic()
        reconcile.run_automatic()
    setting = AutomaticTopUp.objects.get(organization=tenant)
    assert (tries(tenant), setting.failures, setting.problem) == (["pending"], 0, "")

    reconcile.chase(older_than=timedelta(0))

    assert tries(tenant) == ["succeeded"]
    assert len(stripe.events("payment_intent.succeeded")) == 2
    assert audit(tenant) == []


@pytest.mark.django_db
@pytest.mark.parametrize("outcome", ["won", "lost"])
def test_it_does_not_feed_a_dispute(stripe: Stripe, outcome: str) -> None:
    tenant = ready(stripe)
    (top_up,) = TopUp.objects.filter(organization=tenant)
    made = stripe.control(
        "POST", "/disputes", payment_intent=top_up.stripe_payment_intent_id, amount=500
    )
    factories.charge(tenant, 4 * USD, service_fee_bps=0)
    deliver(stripe)

    assert tenant not in automatic.due()
    assert automatic.run(tenant) is None
    assert automatic.waits_for_withheld(tenant)
    (alert,) = Alert.objects.filter(organization=tenant, kind="dispute")
    assert "Automatic top-ups wait" in alert.message
    stripe.control("POST", f"/disputes/{made['id']}/close", outcome=outcome)
    deliver(stripe)
    if outcome == "lost":  # what is still owed is a person's to bring
        assert automatic.run(tenant) is None
        stripe.pay(start(tenant, 5 * USD).checkout_url, Stripe.CARD)
        deliver(stripe)

    assert not automatic.waits_for_withheld(tenant)
    assert reconcile.run_automatic() == 1
    assert tries(tenant) == ["succeeded"]
    assert audit(tenant) == []


@pytest.mark.django_db
def test_a_card_that_is_gone_stops_it(stripe: Stripe) -> None:
    tenant = ready(stripe)
    from billing.payments import customers

    customers.remove_card(tenant, customers.cards_of(tenant)[0], actor=SYSTEM)

    assert reconcile.run_automatic() == 0
    setting = AutomaticTopUp.objects.get(organization=tenant)
    assert (setting.enabled, setting.problem) == (False, "no_card")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold_nano": 0},
        {"amount_nano": USD},
        {"monthly_cap_nano": 10 * USD},
        {"payment_method": None},
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(stripe: Stripe, wrong: dict[str, Any]) -> None:
    tenant = factories.organization()
    values = {
        "enabled": True, "threshold_nano": 10 * USD, "amount_nano": 50 * USD, "monthly_cap_nano": 90 * USD,
        "payment_method": factories.payment_method(tenant), **wrong,
    }  # fmt: skip

    with pytest.raises(InvalidAmount):
        automatic.configure(tenant, actor=SYSTEM, **values)
