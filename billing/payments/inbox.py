"""Stripe's webhooks: each event once, its row and its effect in one transaction, in any order."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import structlog
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from billing.models import StripeEvent, TopUp
from billing.payments import contested, customers, gate, outbox, subscriptions, topups

log = structlog.get_logger(__name__)

Effect = Callable[[], object]
Status = StripeEvent.Status


def receive(payload: bytes, signature: str) -> StripeEvent:
    """Take in a webhook. Raises ``ValueError`` for what Stripe did not sign, or too long ago.

    What failed is kept with its error; the caller answers with an error too, so that it comes again.
    """
    return take_in(gate.verified(payload, signature))


def take_in(event: dict[str, Any]) -> StripeEvent:
    """Take in an event that is known to be Stripe's."""
    seen = StripeEvent.objects.filter(pk=event["id"]).exclude(status=Status.FAILED)
    if seen.update(deliveries=F("deliveries") + 1):
        return seen.get()
    try:
        effect = _read(event["type"], event["data"]["object"])
    except Exception as error:
        log.exception("stripe_event_failed", event_id=event["id"], kind=event["type"])
        return _keep(event, Status.FAILED, error=f"{type(error).__name__}: {error}")
    return _apply(event, effect)


def replay(event: StripeEvent) -> StripeEvent:
    """Do an event's effect again, as it stands at Stripe now; harmless where it was done.

    What event it is, its row says: an old payload may not.
    """
    named = {"id": event.pk, "type": event.type, "created": event.created_at.timestamp()}
    stored = {**event.payload, **named}
    if not isinstance((stored.get("data") or {}).get("object"), dict):
        return _keep(
            stored, Status.FAILED, error="Nothing to replay: the stored event has no object."
        )
    try:
        effect = _read(event.type, stored["data"]["object"])
    except Exception as error:
        log.exception("stripe_event_failed", event_id=event.pk, kind=event.type)
        return _keep(stored, Status.FAILED, error=f"{type(error).__name__}: {error}")
    return _apply(stored, effect)


def _apply(event: dict[str, Any], effect: Effect | None) -> StripeEvent:
    if effect is None:
        return _keep(event, Status.IGNORED)
    try:
        with transaction.atomic():
            kept = _keep(event, Status.PROCESSED)
            if effect() is None:
                kept = _keep(event, Status.IGNORED, again=False)
            return kept
    except Exception as error:
        log.exception("stripe_event_failed", event_id=event["id"], kind=event["type"])
        return _keep(event, Status.FAILED, error=f"{type(error).__name__}: {error}")


@transaction.atomic
def _keep(
    event: dict[str, Any], status: str, *, error: str = "", again: bool = True
) -> StripeEvent:
    row, is_new = StripeEvent.objects.select_for_update().get_or_create(
        pk=event["id"],
        defaults={
            "type": event["type"][:80],
            "status": status,
            "payload": event,
            "error": error[:300],
            "created_at": datetime.fromtimestamp(event["created"], UTC),
            "processed_at": None if error else timezone.now(),
        },
    )
    if not is_new:
        row.deliveries += 1 if again else 0
        # An effect that was done is not undone by a later attempt that failed.
        if not (row.status == Status.PROCESSED and status == Status.FAILED):
            row.status, row.error = status, error[:300]
            row.processed_at = None if error else timezone.now()
        row.save(update_fields=["deliveries", "status", "error", "processed_at"])
    return row


def _read(kind: str, subject: dict[str, Any]) -> Effect | None:
    """What an event of a kind means. Reads from Stripe happen here, before any lock is taken.

    The event only says where to look: what is applied is how the object stands at Stripe now.
    """
    if kind.startswith("checkout.session."):
        return _session(gate.session(subject["id"]))
    if kind.startswith("payment_intent."):
        return _payment(subject["id"]) if _is_ours(subject) else None
    if kind.startswith(("charge.dispute.", "refund.")) or kind in (
        "charge.refunded",
        "charge.updated",
    ):
        return _payment(subject.get("payment_intent") or "")
    if kind.startswith("customer.subscription."):
        return _subscription(subject["id"])
    if kind in ("invoice.paid", "invoice.payment_failed"):
        details = (subject.get("parent") or {}).get("subscription_details") or {}
        if not details.get("subscription"):
            return None
        return _subscription(details["subscription"])
    if kind == "payment_method.detached":
        return lambda: customers.forget_card(subject["id"])
    return None


def _session(session: gate.Session) -> Effect | None:
    if session.mode == "subscription" and session.subscription:
        return _subscription(session.subscription)
    if session.mode == "setup" and session.status == "complete":
        return lambda: customers.finish_setup(session)
    if session.mode == "payment":
        if session.payment:
            return _payment(session.payment)
        if session.status == "expired":
            return lambda: _expire(session)
    return None


def _subscription(stripe_id: str) -> Effect:
    state = gate.subscription(stripe_id)
    return lambda: subscriptions.apply(state) or outbox.ending_of(stripe_id)


def _expire(session: gate.Session) -> TopUp | None:
    top_up = TopUp.objects.filter(stripe_session_id=session.stripe_id).first()
    if top_up is not None:
        topups.fail(top_up, "The payment page expired before anyone paid on it.")
    return top_up


def _payment(payment_id: str) -> Effect | None:
    if not payment_id:
        return None
    payment = gate.payment(payment_id)
    return lambda: topups.apply(payment) or contested.notice(payment)


def _is_ours(subject: dict[str, Any]) -> bool:
    return bool((subject.get("metadata") or {}).get("top_up"))
