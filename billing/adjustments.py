"""Adjusting a balance: asked for with a reason, decided by another person above a limit, through the ledger."""

from datetime import timedelta

from django.db import transaction
from django.db.models import F, Sum
from django.db.models.functions import Abs
from django.utils import timezone

from accounts.audit import Actor, record
from accounts.models import Organization, User
from billing.errors import AdjustmentRefused
from billing.models import Account, Adjustment, Transfer
from billing.models.adjustments import ALONE_UP_TO_NANO, MIN_REASON
from billing.money import usd_from_nano
from billing.services import open_accounts, post

Status = Adjustment.Status


@transaction.atomic
def ask(
    organization: Organization, amount_nano: int, *, reason: str, by: User, actor: Actor
) -> Adjustment:
    """Adjust a balance, at once where one person may, else when another approves.

    Small ones add up: what was adjusted alone within a day counts towards the limit. Raises
    ``AdjustmentRefused``, and ``InsufficientBalance`` where a debit is not covered.
    """
    reason = " ".join(reason.split())
    if len(reason) < MIN_REASON:
        raise AdjustmentRefused(f"Say why, in at least {MIN_REASON} characters.")
    if not amount_nano:
        raise AdjustmentRefused("An adjustment of nothing changes nothing.")
    _check_staff(by)
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    asked: Adjustment = Adjustment.objects.create(
        organization=organization, amount_nano=amount_nano, reason=reason[:200], requested_by=by
    )
    record(
        organization, actor, "balance.adjustment_asked", asked.id,
        after={"amount_usd": usd_from_nano(amount_nano), "reason": reason},
    )  # fmt: skip
    if _alone_today_nano(organization) + abs(amount_nano) <= ALONE_UP_TO_NANO:
        return approve(asked, by=by, actor=actor)
    return asked


@transaction.atomic
def approve(adjustment: Adjustment, *, by: User, actor: Actor) -> Adjustment:
    """Move the money. Raises ``AdjustmentRefused`` for one's own above the limit, or one that is decided."""
    asked = _pending(adjustment)
    _check_staff(by)
    organization = asked.organization
    alone = by.pk == asked.requested_by_id
    if alone and _alone_today_nano(organization) + abs(asked.amount_nano) > ALONE_UP_TO_NANO:
        limit = usd_from_nano(ALONE_UP_TO_NANO)
        raise AdjustmentRefused(
            f"More than {limit} USD in a day takes two people: another one must approve this."
        )
    _decide(asked, Status.APPROVED, by)
    open_accounts(organization)
    adds = asked.amount_nano > 0
    post(
        organization,
        Transfer.Kind.ADJUSTMENT,
        debit=Account.Kind.CREDIT if adds else Account.Kind.WALLET,
        credit=Account.Kind.WALLET if adds else Account.Kind.CREDIT,
        amount_nano=abs(asked.amount_nano),
        reference=f"adjustment:{asked.id}",
        description=asked.reason,
    )
    record(
        organization, actor, "balance.adjusted", asked.id,
        after={
            "amount_usd": usd_from_nano(asked.amount_nano), "reason": asked.reason,
            "asked_by": asked.requested_by.email, "approved_by": by.email,
        },
    )  # fmt: skip
    return asked


@transaction.atomic
def reject(adjustment: Adjustment, *, by: User, actor: Actor) -> Adjustment:
    """Decide that nothing moves; one may take back one's own. Raises ``AdjustmentRefused``."""
    asked = _pending(adjustment)
    _check_staff(by)
    _decide(asked, Status.REJECTED, by)
    record(
        asked.organization, actor, "balance.adjustment_rejected", asked.id,
        after={"amount_usd": usd_from_nano(asked.amount_nano), "rejected_by": by.email},
    )  # fmt: skip
    return asked


def _pending(adjustment: Adjustment) -> Adjustment:
    # The organization first, as every writer does; it also serialises what is adjusted alone.
    Organization.objects.select_for_update(no_key=True).get(pk=adjustment.organization_id)
    found: Adjustment = (
        Adjustment.objects.select_for_update(of=("self",))
        .select_related("organization", "requested_by")
        .get(pk=adjustment.pk)
    )
    if found.status != Status.PENDING:
        raise AdjustmentRefused(f"{found.id} is decided already: {found.get_status_display()}.")
    return found


def _decide(asked: Adjustment, status: str, by: User) -> None:
    asked.status, asked.decided_by, asked.decided_at = status, by, timezone.now()
    asked.save(update_fields=["status", "decided_by", "decided_at"])


def _alone_today_nano(organization: Organization) -> int:
    """What was adjusted without a second person within the last day, added or taken."""
    alone = Adjustment.objects.for_organization(organization).filter(
        status=Status.APPROVED,
        decided_by=F("requested_by"),
        decided_at__gt=timezone.now() - timedelta(days=1),
    )
    return int(alone.aggregate(sum=Sum(Abs("amount_nano")))["sum"] or 0)


def _check_staff(person: User) -> None:
    if not (person.is_staff and person.is_active):
        raise AdjustmentRefused("Only an operator adjusts balances.")
