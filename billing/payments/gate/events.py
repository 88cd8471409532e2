"""What Stripe tells by itself."""

from typing import Any

import stripe
from django.conf import settings


def verified(payload: bytes, signature: str) -> dict[str, Any]:
    """An event that Stripe signed; ``ValueError`` for anything else, and for one older than five minutes."""
    if not settings.STRIPE_WEBHOOK_SECRET:
        raise ValueError("Webhooks are not set up on this installation.")
    try:
        event = stripe.Webhook.construct_event(payload, signature, settings.STRIPE_WEBHOOK_SECRET)
    except stripe.SignatureVerificationError as error:
        raise ValueError("The signature does not match.") from error
    parsed: dict[str, Any] = event.to_dict()
    return parsed
