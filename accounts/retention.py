"""How long rows are kept. Each app says it of its own in a module ``retention``; one job forgets the rest."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import Invitation

BATCH = 2_000


@dataclass(frozen=True, slots=True)
class Rule:
    """Rows of one kind, in words for people, and which of them are older than an instant."""

    what: str
    days: int
    rows: Callable[[datetime], "QuerySet[Any]"]


RULES: list[Rule] = []


def keep(what: str, *, days: int, rows: Callable[[datetime], "QuerySet[Any]"]) -> None:
    """Rows for which ``rows(instant)`` holds are deleted ``days`` after that instant."""
    RULES.append(Rule(what, days, rows))


def forget(*, within_s: float = 120.0) -> dict[str, int]:
    """Delete what is too old, in small batches; what is left when time is up goes the next time."""
    until_s = time.monotonic() + within_s
    deleted: dict[str, int] = {}
    for rule in RULES:
        old = rule.rows(timezone.now() - timedelta(days=rule.days))
        gone = 0
        while time.monotonic() < until_s:
            # One statement per batch: nothing is locked for long, and a second worker finds the rest.
            batch = list(old.order_by("pk").values_list("pk", flat=True)[:BATCH])
            if not batch:
                break
            gone += len(batch)
            old.model._default_manager.filter(pk__in=batch).delete()
        if gone:
            deleted[rule.what] = gone
    return deleted


keep(
    "Sessions that have expired", days=0, rows=lambda at: Session.objects.filter(expire_date__lt=at)
)
keep(
    "Devices somebody was signed in on, after they were last seen",
    days=30,
    rows=lambda at: UserSession.objects.filter(last_seen_at__lt=at),
)
keep(
    "Invitations, after they expired",
    days=90,
    rows=lambda at: Invitation.objects.filter(expires_at__lt=at),
)
