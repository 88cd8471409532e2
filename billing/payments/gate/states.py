"""What is asked of Stripe comes back as one of these, in nano-USD and ids of ours."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Card:
    """A saved card as Stripe shows it."""

    stripe_id: str
    brand: str
    last4: str
    exp_month: int
    exp_year: int
    customer: str


@dataclass(frozen=True, slots=True)
class RefundState:
    """A refund as it stands at Stripe. ``ours`` is our id of it, where we asked for it."""

    stripe_id: str
    amount_nano: int
    status: str
    ours: str
    payment: str = ""


@dataclass(frozen=True, slots=True)
class SentBack:
    """What went back in all so far, in one part or several; ``refused`` says to operators what did not, and why."""

    amount_nano: int
    refused: str = ""


@dataclass(frozen=True, slots=True)
class DisputeState:
    """A dispute as it stands at Stripe: ``open``, ``won`` or ``lost``."""

    stripe_id: str
    amount_nano: int
    status: str
    payment: str = ""


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment as it stands at Stripe. ``top_up`` is our id of what it is for."""

    stripe_id: str
    status: str
    amount_nano: int
    currency: str
    top_up: str
    customer: str
    failure: str = ""
    failure_code: str = ""
    card: Card | None = None
    refunds: tuple[RefundState, ...] = ()
    disputes: tuple[DisputeState, ...] = ()


@dataclass(frozen=True, slots=True)
class Session:
    """A visit to Stripe's hosted page and what it came to. ``attempt``: which offer of a plan it is for."""

    stripe_id: str
    mode: str
    status: str
    url: str
    top_up: str
    organization: str
    payment: str
    setup: str
    subscription: str
    attempt: str = ""


@dataclass(frozen=True, slots=True)
class PaidInvoice:
    """A paid invoice of a subscription."""

    stripe_id: str
    amount_nano: int
    period_start: datetime
    period_end: datetime
    paid_at: datetime


@dataclass(frozen=True, slots=True)
class SubscriptionState:
    """A subscription as it stands at Stripe."""

    stripe_id: str
    status: str
    organization: str
    plan: str
    customer: str
    ends_at: datetime | None
    latest_invoice: str
    paid: tuple[PaidInvoice, ...]
