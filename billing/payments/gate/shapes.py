"""Stripe's objects as ours."""

from datetime import datetime
from typing import Any

from billing.models import Refund
from billing.payments.gate.sdk import (
    NANO_PER_CENT,
    PAGE,
    client,
    id_of,
    instant_of,
    pages,
    text_of,
)
from billing.payments.gate.states import (
    Card,
    DisputeState,
    PaidInvoice,
    Payment,
    RefundState,
    Session,
    SubscriptionState,
)


def session_of(found: Any) -> Session:
    metadata = found.metadata or {}
    return Session(
        stripe_id=found.id,
        mode=found.mode,
        status=found.status or "",
        url=found.url or "",
        top_up=text_of(metadata, "top_up"),
        organization=text_of(metadata, "organization"),
        payment=id_of(found.payment_intent),
        setup=id_of(found.setup_intent),
        subscription=id_of(found.subscription),
        attempt=text_of(metadata, "attempt"),
    )


def payment_of(found: Any) -> Payment:
    charge = found.latest_charge
    refunds: list[RefundState] = []
    disputes: list[DisputeState] = []
    if charge is not None and not isinstance(charge, str):
        api: Any = client().v1
        about = {"payment_intent": found.id, "limit": PAGE}
        # A refund that failed leaves nothing on the charge, so the flag alone does not say.
        if charge.amount_refunded or charge.refunded or _may_have_refunds(found.id):
            listed = pages(lambda more: api.refunds.list({**about, **more}))
            refunds = [refund_of(refund) for refund in listed]
        if charge.disputed:
            listed = pages(lambda more: api.disputes.list({**about, **more}))
            disputes = [dispute_of(dispute) for dispute in listed if not is_inquiry(dispute)]
    failure = found.last_payment_error
    method = found.payment_method
    return Payment(
        stripe_id=found.id,
        status=found.status,
        amount_nano=found.amount_received * NANO_PER_CENT,
        currency=found.currency,
        top_up=text_of(found.metadata or {}, "top_up"),
        customer=id_of(found.customer),
        failure=(failure.message or "The card was declined.") if failure else "",
        failure_code=(failure.code or "card_declined") if failure else "",
        card=card_of(method) if method is not None and not isinstance(method, str) else None,
        refunds=tuple(refunds),
        disputes=tuple(disputes),
    )


def _may_have_refunds(payment_id: str) -> bool:
    return bool(Refund.objects.filter(top_up__stripe_payment_intent_id=payment_id).exists())


def refund_of(found: Any) -> RefundState:
    status = {"succeeded": "succeeded", "failed": "failed", "canceled": "failed"}
    return RefundState(
        stripe_id=found.id,
        amount_nano=found.amount * NANO_PER_CENT,
        status=status.get(found.status or "", "pending"),
        ours=text_of(found.metadata or {}, "refund"),
        payment=id_of(found.payment_intent),
    )


def dispute_of(found: Any) -> DisputeState:
    return DisputeState(
        stripe_id=found.id,
        amount_nano=found.amount * NANO_PER_CENT,
        status=_dispute_status(found.status),
        payment=id_of(found.payment_intent),
    )


def is_inquiry(found: Any) -> bool:
    """An inquiry moves no money."""
    return str(found.status).startswith("warning_")


def _dispute_status(status: str) -> str:
    return {"won": "won", "lost": "lost", "prevented": "won"}.get(status, "open")


def card_of(found: Any) -> Card | None:
    if found.type != "card" or found.card is None or not found.customer:
        return None
    return Card(
        stripe_id=found.id,
        brand=found.card.brand,
        last4=found.card.last4,
        exp_month=found.card.exp_month,
        exp_year=found.card.exp_year,
        customer=id_of(found.customer),
    )


def subscription_of(found: Any) -> SubscriptionState:
    metadata = found.metadata or {}
    api: Any = client().v1
    invoices = pages(
        lambda more: api.invoices.list({"subscription": found.id, "limit": PAGE, **more})
    )
    paid = tuple(
        PaidInvoice(
            stripe_id=invoice.id,
            amount_nano=invoice.amount_paid * NANO_PER_CENT,
            period_start=instant_of(invoice.lines.data[0].period.start),
            period_end=instant_of(invoice.lines.data[0].period.end),
            paid_at=paid_at(invoice),
        )
        for invoice in invoices
        if invoice.status == "paid" and invoice.amount_paid
    )
    return SubscriptionState(
        stripe_id=found.id,
        status=found.status,
        organization=text_of(metadata, "organization"),
        plan=text_of(metadata, "plan"),
        customer=id_of(found.customer),
        ends_at=_end_of(found),
        latest_invoice=id_of(found.latest_invoice),
        paid=paid,
    )


def paid_at(invoice: Any) -> datetime:
    """When an invoice was paid, which may be long after it was made."""
    return instant_of(invoice.status_transitions.paid_at or invoice.created)


def _end_of(found: Any) -> datetime | None:
    """When a subscription is to end: at an instant, or with the period that is paid for."""
    if found.cancel_at:
        return instant_of(found.cancel_at)
    items = found["items"].data
    if found.cancel_at_period_end and items:
        return instant_of(items[0].current_period_end)
    return None
