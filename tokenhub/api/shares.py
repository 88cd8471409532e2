"""A management key's budget is the most that the keys which count for it may spend together in each of its periods."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction
from django.utils import timezone

from billing.budgets import used_by_keys
from billing.money import usd_from_nano
from keys.budgets import A_PERIOD, Budget, span
from keys.models import ApiKey
from tokenhub.api.problems import Problem


@contextmanager
def kept_to_budget(maker: ApiKey | None) -> Iterator[None]:
    """Whatever is done in it to the keys of a management key is undone and refused where it gives out too much.

    One at a time for each management key. What gives out no more than before always may be done.
    """
    if maker is None:
        yield
        return
    with transaction.atomic():
        locked: ApiKey = ApiKey.objects.select_for_update(no_key=True).get(pk=maker.pk)
        budget = locked.budget
        if budget is None:
            yield
            return
        before_nano = _given_out_nano(locked, budget)
        yield
        after_nano = _given_out_nano(locked, budget)
        if after_nano > max(budget.amount_nano, before_nano):
            per = A_PERIOD[budget.period]
            left_nano = max(budget.amount_nano - before_nano, 0)
            raise Problem(
                403, "budget_given_out",
                f"The keys of this management key may spend {budget.amount} USD {per} together:"
                f" {usd_from_nano(left_nano)} USD {per} is left to give to a key.",
            )  # fmt: skip


def _given_out_nano(maker: ApiKey, budget: Budget) -> int:
    """What its keys may have spent at the end of this period: by budget, or what was spent where that is more.

    A budget that ``Budget.covers`` allowed spends at most its amount in any one period of the maker's. One that people
    took the budget from counts what it spent: what it may spend beyond that is theirs to answer for.
    """
    keys = ApiKey.objects.filter(maker=maker)
    may = {
        uuid.UUID(hex=str(key.id)[4:]): key.budget_nano or 0 if key.is_active else 0 for key in keys
    }
    used = used_by_keys(maker.organization, may, span(budget.period, timezone.now()).first)
    return sum(max(nano, used.get(key, 0)) for key, nano in may.items())
