"""An organization's budgets as they stand, and changing some of them, by who has read what is changed."""

import hashlib
import uuid
from collections import Counter
from collections.abc import Collection, Mapping
from datetime import date
from typing import Any

from django.db import transaction
from django.db.models import F, Sum

from accounts.audit import Actor
from accounts.models import Organization
from billing.alerts import set_budget
from billing.errors import BudgetChanged, InvalidBudget
from billing.models import Budget, BudgetLease, UsageDay

# Whatever a budget says besides whose it is: a change of one mark leaves every other.
MARKS = tuple(
    field.attname
    for field in Budget._meta.concrete_fields
    if field.name not in ("id", "organization")
)


def budget_of(organization: Organization) -> Budget:
    """The marks of an organization; without a row, those that everybody begins with."""
    found: Budget | None = Budget.objects.for_organization(organization).first()
    return found or Budget(organization=organization)


def version_of(budget: Budget) -> int:
    """A number that stands for what the marks are: the same marks have the same."""
    marks = repr([getattr(budget, name) for name in MARKS])
    return int.from_bytes(hashlib.blake2b(marks.encode(), digest_size=7).digest())


@transaction.atomic
def change_budget(
    organization: Organization,
    changes: Mapping[str, Any],
    *,
    actor: Actor,
    if_version: Collection[int] | None = None,
) -> Budget:
    """Change some marks; what is not named stays.

    Raises ``InvalidBudget``, and ``BudgetChanged`` where they are at none of ``if_version``.
    """
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    kept = budget_of(organization)
    if if_version is not None and version_of(kept) not in if_version:
        raise BudgetChanged("The budgets were changed meanwhile. Read them again.")
    marks = {name: changes.get(name, getattr(kept, name)) for name in MARKS}
    for field in ("low_balance", "monthly"):
        amount_nano = marks[f"{field}_nano"]
        if amount_nano is not None and amount_nano <= 0:
            raise InvalidBudget(field, "The amount must be greater than zero.")
    if marks["monthly_nano"] is None and marks["monthly_is_hard"]:
        if changes.get("monthly_is_hard"):
            raise InvalidBudget(
                "monthly_is_hard", "Only a month's budget with an amount can refuse calls."
            )
        marks["monthly_is_hard"] = False  # it goes with the amount
    return set_budget(organization, actor=actor, **marks)


def used_by_keys(
    organization: Organization, keys: Collection[uuid.UUID], since: date
) -> Mapping[uuid.UUID, int]:
    """What keys spent from a day in UTC on, with what is set aside of their budgets for calls under way; nano-USD."""
    used: Counter[uuid.UUID] = Counter()
    spent = UsageDay.objects.for_organization(organization).filter(key_id__in=keys, day__gte=since)
    fees = F("model_fee_nano") + F("service_fee_nano")
    for key, nano in spent.order_by().values_list("key_id").annotate(nano=Sum(fees)):
        used[key] += int(nano)
    shares = BudgetLease.objects.for_organization(organization).filter(
        subject__in=keys, closed_at=None
    )
    left = F("granted_nano") - F("spent_nano")
    for key, nano in shares.order_by().values_list("subject").annotate(nano=Sum(left)):
        used[key] += int(nano)
    return used
