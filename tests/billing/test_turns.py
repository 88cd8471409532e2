"""What waits for Stripe takes turns: those that keep failing at the front keep nobody behind them waiting for ever."""

from datetime import timedelta

import pytest

from accounts.audit import SYSTEM
from billing.audit import audit
from billing.errors import PaymentsAway
from billing.models import Refund, StripeInstruction
from billing.payments import gate, outbox, reconcile, reversals
from billing.selectors import balance_of
from tests import factories
from tests.billing.test_reversals import paid
from tests.billing.test_subscriptions import begin
from tests.billing.test_top_ups import USD
from tests.live import Stripe

pytestmark = pytest.mark.django_db


def test_refunds_that_keep_failing_do_not_keep_the_others_waiting(
    stripe: Stripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reversals, "MAX_LOOKED_AT", 2)
    tenant = factories.organization()
    top_up = paid(stripe, tenant)
    send = gate.create_refund
    monkeypatch.setattr(gate, "create_refund", _away)
    waiting = [
        reversals.refund(top_up, usd * USD, reason="unused", actor=SYSTEM) for usd in range(1, 6)
    ]
    assert {made.status for made in waiting} == {"pending"}
    # The newest and the oldest keep failing, whichever end a batch begins at.
    fails = {made.id for made in waiting} - {waiting[2].id}

    def refused_to_some(**wanted: object) -> gate.RefundState:
        if wanted["refund"] in fails:
            raise PaymentsAway("Stripe does not answer.")
        return send(**wanted)  # type: ignore[arg-type]

    monkeypatch.setattr(gate, "create_refund", refused_to_some)
    for _ in range(3):  # 3 x 2 are more than the five
        reconcile.chase(older_than=timedelta(0))

    statuses = [Refund.objects.get(pk=made.pk).status for made in waiting]
    assert statuses == ["pending", "pending", "succeeded", "pending", "pending"]
    fails.clear()
    for _ in range(2):
        reconcile.chase(older_than=timedelta(0))
    assert not Refund.objects.filter(status="pending").exists()
    assert balance_of(tenant).balance_nano == 35 * USD
    assert audit(tenant) == []


def test_orders_that_keep_failing_do_not_keep_the_others_waiting(
    stripe: Stripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "AT_ONCE", 2)
    for number in range(3):
        outbox.end_subscription(
            factories.organization(plan="starter"), f"sub_odd{number}", reason="Odd."
        )
    other = factories.organization(plan="starter")
    page = begin(other)
    outbox.expire_pages(other, only_plans=True, reason="Agreement.")
    monkeypatch.setattr(gate, "end_now", _away)

    tried = [outbox.carry_out_pending() for _ in range(2)]

    assert tried == [2, 2]
    assert StripeInstruction.objects.get(organization=other).status == "done"
    assert stripe.pay(page) == 409
    assert StripeInstruction.objects.filter(status="pending").count() == 3


def _away(*_: object, **__: object) -> gate.RefundState:
    raise PaymentsAway("Stripe does not answer.")
