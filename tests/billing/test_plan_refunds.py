"""What goes back of a plan: the customer hears of every part of it, also where Stripe refuses another."""

import pytest

from billing.models import Alert, StripeInstruction
from billing.money import usd_from_nano
from billing.payments import gate, outbox
from tests.billing.test_closing import running_at_stripe, sent_back_nano
from tests.billing.test_plan_conflicts import charged_nano
from tests.billing.test_subscriptions import on_pro
from tests.billing.test_top_ups import deliver
from tests.live import Stripe

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("contested", [0, 1])
def test_the_customer_is_told_of_the_part_that_goes_back_and_later_of_the_rest(
    stripe: Stripe, contested: int
) -> None:
    tenant = on_pro(stripe)
    (name,) = running_at_stripe()
    stripe.control("POST", f"/subscriptions/{name}/renew", outcome="paid")
    deliver(stripe)
    payments = [
        str(found.payment.payment_intent) for found in gate.client().v1.invoice_payments.list().data
    ]
    assert len(payments) == 2
    dispute = stripe.control("POST", "/disputes", payment_intent=payments[contested])
    order = outbox.end_subscription(tenant, name, reason="The plan was over.")

    outbox.carry_out(order)

    order.refresh_from_db()
    part_nano = sent_back_nano()
    assert 0 < part_nano < charged_nano(stripe)
    assert (order.status, order.refunded_nano) == ("refused", part_nano)
    assert "charged back" in order.error
    told = messages(tenant.id)
    assert len(told) == 1
    assert f"{usd(part_nano)} USD" in told[0]
    assert "on its way back to the card" in told[0]
    assert "The rest" in told[0]
    assert "The plan was over." in told[0]

    outbox.carry_out(order)  # nothing new: nothing is said twice
    assert messages(tenant.id) == told

    stripe.control("POST", f"/disputes/{dispute['id']}/close", outcome="won")
    for _ in range(2):
        outbox.carry_out(StripeInstruction.objects.get(pk=order.pk))

    order.refresh_from_db()
    assert (order.status, order.refunded_nano) == ("done", sent_back_nano())
    assert sent_back_nano() == charged_nano(stripe)
    first, rest = messages(tenant.id)
    assert first == told[0]
    assert f"Another {usd(sent_back_nano() - part_nano)} USD" in rest


def messages(organization: str) -> list[str]:
    found = Alert.objects.filter(organization=organization, kind="plan_refund").order_by("id")
    return [alert.message for alert in found]


def usd(nano: int) -> str:
    return usd_from_nano(nano)
