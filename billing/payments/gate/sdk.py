"""The genuine SDK: its client, its errors as ours, its lists page by page, its odds and ends as plain values."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import stripe
import structlog
from django.conf import settings

from billing.errors import PaymentRefused, PaymentsAway

log = structlog.get_logger(__name__)

NANO_PER_CENT = 10_000_000
TIMEOUT_S = 20
PAGE = 100


@lru_cache(maxsize=2)
def _client(key: str, base: str) -> stripe.StripeClient:
    if not key:
        raise PaymentsAway("Card payments are not set up on this installation.")
    return stripe.StripeClient(
        key,
        base_addresses={"api": base} if base else {},
        max_network_retries=2,
        http_client=stripe.RequestsClient(timeout=TIMEOUT_S),
    )


def client() -> stripe.StripeClient:
    """The SDK's client of this installation."""
    return _client(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE)


@contextmanager
def said_plainly() -> Iterator[None]:
    """Turn the SDK's errors into ours; no text of Stripe's that was not meant for customers gets out."""
    try:
        yield
    except stripe.CardError as error:
        refused = PaymentRefused(error.user_message or "The card was declined.")
        refused.reason = error.code or "declined"
        raise refused from error
    except stripe.InvalidRequestError as error:
        log.error("stripe_refused", code=error.code, param=error.param)
        raise PaymentRefused("Stripe does not accept this. Nothing was charged.") from error
    except stripe.StripeError as error:
        log.warning("stripe_away", kind=type(error).__name__, status=error.http_status)
        raise PaymentsAway(
            "The payment service does not answer. Nothing is known to be charged; try again shortly."
        ) from error


def pages(fetch: Callable[[dict[str, Any]], Any]) -> Iterator[Any]:
    more: dict[str, Any] = {}
    while True:
        with said_plainly():
            page = fetch(more)
        yield from page.data
        if not page.has_more:
            return
        more = {"starting_after": page.data[-1].id}


def id_of(found: Any) -> str:
    if not found:
        return ""
    return found if isinstance(found, str) else str(found.id)


def text_of(metadata: Any, name: str) -> str:
    return str(metadata[name]) if name in metadata else ""


def instant_of(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
