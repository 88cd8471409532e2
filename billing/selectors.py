"""Reads on money worth naming."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from django.db import connection
from django.db.models import Q, Sum

from accounts.models import Organization
from billing.models import Account, MediaTask, UsageDay


@dataclass(frozen=True, slots=True)
class Balance:
    """An organization's money in nano-USD: in total, on hold, and free to use.

    On hold is what open leases set aside and what disputes and refunds withhold (``frozen_nano``).
    """

    balance_nano: int
    on_hold_nano: int
    frozen_nano: int = 0

    @property
    def available_nano(self) -> int:
        """What a new request can be held against."""
        return self.balance_nano - self.on_hold_nano


def balance_of(organization: Organization) -> Balance:
    """The balance as the ledger has it now."""
    wallet: Account | None = (
        Account.objects.for_organization(organization).filter(kind=Account.Kind.WALLET).first()
    )
    if wallet is None:
        return Balance(0, 0)
    # More may be withheld than there is: it then waits for money to come.
    frozen_nano = min(wallet.frozen_nano, wallet.balance_nano - wallet.leased_nano)
    return Balance(wallet.balance_nano, wallet.leased_nano + frozen_nano, frozen_nano)


def left_to_spend_nano(organization: Organization) -> int:
    """What calls can still cost, in nano-USD: without what disputes withhold and videos on their way hold.

    What gateways have on lease counts as there: what a call does not use of it comes back in seconds.
    """
    balance = balance_of(organization)
    on_their_way = MediaTask.objects.for_organization(organization).filter(
        status__in=MediaTask.OPEN
    )
    held_nano = on_their_way.aggregate(total=Sum("hold_nano"))["total"] or 0
    return balance.balance_nano - balance.frozen_nano - held_nano


@dataclass(frozen=True, slots=True)
class UsageSummary:
    """Sums over whole days in UTC, from ``since`` up to and without ``until``. Fees are in nano-USD."""

    requests: int
    failed: int
    model_fee_nano: int
    service_fee_nano: int

    @property
    def total_nano(self) -> int:
        """Both fees."""
        return self.model_fee_nano + self.service_fee_nano


def usage_summaries(
    organization: Organization, since: Sequence[date], until: date
) -> list[UsageSummary]:
    """The same for several periods that end together, in one query."""
    names = ("requests", "failed", "model_fee_nano", "service_fee_nano")
    sums = (
        UsageDay.objects.for_organization(organization)
        .filter(day__gte=min(since), day__lt=until)
        .aggregate(
            **{
                f"{name}_{number}": Sum(name, filter=Q(day__gte=start))
                for number, start in enumerate(since)
                for name in names
            }
        )
    )
    return [
        UsageSummary(*(int(sums[f"{name}_{number}"] or 0) for name in names))
        for number in range(len(since))
    ]


@dataclass(frozen=True, slots=True)
class FirstToken:
    """How long streamed answers took to begin, in milliseconds; of no ``requests`` there is nothing to say."""

    requests: int
    p50_ms: int | None
    p95_ms: int | None


# The newest requests of the last days, as few as a page can wait for however many there are.
_STREAMED = """
SELECT count(first_token_ms), percentile_disc(0.5) WITHIN GROUP (ORDER BY first_token_ms),
       percentile_disc(0.95) WITHIN GROUP (ORDER BY first_token_ms)
  FROM (SELECT first_token_ms FROM billing_usage WHERE organization_id = %s AND id >= %s
         ORDER BY id DESC LIMIT %s) latest
"""


def first_token(organization: Organization, since: datetime, *, most: int) -> FirstToken:
    """The first token of an organization's newest requests since an instant, of ``most`` at most."""
    # Ids begin with their millisecond, and the table is ordered and partitioned by them.
    first = uuid.UUID(int=int(since.timestamp() * 1000) << 80)
    with connection.cursor() as cursor:
        cursor.execute(_STREAMED, [organization.id.removeprefix("org_"), first, most])
        return FirstToken(*cursor.fetchone())


# Beyond this a forecast says nothing.
MANY_DAYS = 1000


def days_left(balance: Balance, week_nano: int) -> int | None:
    """How many days the money lasts at a week's pace (nano-USD); ``None`` where nobody could say."""
    days = balance.available_nano * 7 // week_nano if week_nano else MANY_DAYS
    return max(days, 0) if days < MANY_DAYS else None
