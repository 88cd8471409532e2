"""Where held money comes from: an organization's balance, or what a budget still allows in its period.

Both are shared by every gateway process and drawn from in the same way; ``LeaseBook`` keeps what was drawn.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import NamedTuple, Protocol, TypeVar

from billing.money import usd_from_nano
from keys.budgets import A_PERIOD, Span, span
from tokenhub.gateway.database import Link
from tokenhub.gateway.errors import (
    BudgetExceeded,
    GatewayError,
    InsufficientBalance,
    KeyBudgetExceeded,
)

Of = TypeVar("Of", bound="str | Allowance")
Whose = TypeVar("Whose", bound="str | Allowance", contravariant=True)


class Drawn(NamedTuple):
    """What a draw said. ``granted_nano`` is -1 where the lease had been closed meanwhile."""

    granted_nano: int
    available_nano: int
    elsewhere_nano: int
    used_nano: int = 0


class Funds(Protocol[Whose]):
    """A kind of money that leases are drawn from; ``of`` says whose."""

    def name(self, of: Whose) -> str:
        """What notifications call it."""

    async def draw(
        self, lease: uuid.UUID, of: Whose, holder: str, need_nano: int, want_nano: int, ttl_s: float
    ) -> Drawn:
        """Add to a lease what is wanted, at least what is needed, or nothing."""

    async def give_back(self, lease: uuid.UUID, of: Whose, keep_nano: int) -> int:
        """Return what a lease does not keep; how much that was.

        Raises ``DatabaseAway`` where that is unknown; then what was to be returned must not be spent.
        """

    async def close(self, leases: Sequence[tuple[uuid.UUID, Whose]]) -> None:
        """Return all of leases that nobody uses."""

    async def renew(self, leases: Sequence[uuid.UUID], ttl_s: float) -> set[uuid.UUID]:
        """Prolong leases; which of them are still open."""

    def short(self, of: Whose, need_nano: int, drawn: Drawn) -> GatewayError:
        """What is answered where the need is not covered."""


class _Leases:
    """What both kinds do alike."""

    def __init__(self, link: Link, table: str) -> None:
        self._link = link
        self._renew = (
            f"UPDATE {table} SET expires_at = clock_timestamp() + make_interval(secs => %s)"  # noqa: S608
            " WHERE id = ANY(%s) AND closed_at IS NULL RETURNING id"
        )

    async def renew(self, leases: Sequence[uuid.UUID], ttl_s: float) -> set[uuid.UUID]:
        rows = await self._link.fetch(self._renew, (ttl_s, list(leases)))
        return {row[0] for row in rows}


class Balances(_Leases):
    """The organizations' wallets, each by the organization's id."""

    def __init__(self, link: Link) -> None:
        super().__init__(link, "billing_lease")

    def name(self, of: str) -> str:
        return of

    async def draw(
        self, lease: uuid.UUID, of: str, holder: str, need_nano: int, want_nano: int, ttl_s: float
    ) -> Drawn:
        rows = await self._link.fetch(
            "SELECT granted, available, elsewhere"
            " FROM billing_draw_lease(%s, %s, %s, %s::bigint, %s::bigint, %s)",
            (lease, of, holder, need_nano, want_nano, ttl_s),
        )
        return Drawn(*rows[0])

    async def give_back(self, lease: uuid.UUID, of: str, keep_nano: int) -> int:
        rows = await self._link.fetch(
            "SELECT billing_return_lease(%s, %s, %s::bigint)", (lease, of, keep_nano), once=True
        )
        return int(rows[0][0])

    async def close(self, leases: Sequence[tuple[uuid.UUID, str]]) -> None:
        # In the order of organizations, in which the group commit locks wallets, too.
        await self._link.fetch(
            "SELECT billing_return_lease(lease, organization, 0) FROM ("
            "SELECT * FROM unnest(%s::uuid[], %s::uuid[]) AS l (lease, organization)"
            " ORDER BY organization) ordered",
            ([lease for lease, _ in leases], [of for _, of in leases]),
        )

    def short(self, of: str, need_nano: int, drawn: Drawn) -> GatewayError:
        return InsufficientBalance(
            "The balance does not cover the highest possible cost of this request. Top up, ask for less (max_tokens),"
            " or wait for running requests to finish."
        )


@dataclass(frozen=True, slots=True)
class Allowance:
    """One budget in one of its periods."""

    subject: str
    """The key's id, or the organization's."""
    organization_id: str
    limit_nano: int
    period: str
    span: Span


class Budget:
    """A hard budget of a caller. Knows the period of a moment without computing it for every request."""

    __slots__ = (
        "_allowance",
        "_since",
        "_until",
        "limit_nano",
        "organization_id",
        "period",
        "subject",
    )

    def __init__(self, subject: str, organization_id: str, limit_nano: int, period: str) -> None:
        self.subject = subject
        self.organization_id = organization_id
        self.limit_nano = limit_nano
        self.period = period
        self._since = self._until = datetime.min.replace(tzinfo=UTC)
        self._allowance: Allowance | None = None

    def at(self, moment: datetime) -> Allowance:
        """The budget in the period that a moment is in."""
        if self._allowance is None or not self._since <= moment < self._until:
            found = span(self.period, moment)
            self._since = _midnight(found.first)
            self._until = found.resets_at or datetime.max.replace(tzinfo=UTC)
            self._allowance = Allowance(
                self.subject, self.organization_id, self.limit_nano, self.period, found
            )
        return self._allowance


class Budgets(_Leases):
    """Keys' budgets, and organizations' hard monthly ones."""

    def __init__(self, link: Link) -> None:
        super().__init__(link, "billing_budgetlease")

    def name(self, of: Allowance) -> str:
        return of.subject

    async def draw(
        self,
        lease: uuid.UUID,
        of: Allowance,
        holder: str,
        need_nano: int,
        want_nano: int,
        ttl_s: float,
    ) -> Drawn:
        rows = await self._link.fetch(
            "SELECT granted, available, elsewhere, used FROM billing_draw_budget("
            "%s, %s, %s, %s::bigint, %s, %s, %s, %s::bigint, %s::bigint, %s)",
            (
                lease, of.organization_id, of.subject, of.limit_nano, of.span.first, of.span.end,
                holder, need_nano, want_nano, ttl_s,
            ),
        )  # fmt: skip
        return Drawn(*rows[0])

    async def give_back(self, lease: uuid.UUID, of: Allowance, keep_nano: int) -> int:
        rows = await self._link.fetch(
            "SELECT billing_return_budget(%s, %s, %s::bigint)",
            (lease, of.organization_id, keep_nano),
            once=True,
        )
        return int(rows[0][0])

    async def close(self, leases: Sequence[tuple[uuid.UUID, Allowance]]) -> None:
        for lease, of in leases:
            await self.give_back(lease, of, 0)

    def short(self, of: Allowance, need_nano: int, drawn: Drawn) -> GatewayError:
        resets_at = of.span.resets_at
        resets = f"{resets_at:%Y-%m-%dT%H:%M:%SZ}" if resets_at else None
        amount, used = usd_from_nano(of.limit_nano), usd_from_nano(drawn.used_nano)
        of_organization = of.subject == of.organization_id
        whose = "the organization's" if of_organization else "this key's"
        kind = BudgetExceeded if of_organization else KeyBudgetExceeded
        return kind(
            f"{whose.capitalize()} budget of {amount} USD {A_PERIOD[of.period]} does not cover the highest possible"
            f" cost of this request, {usd_from_nano(need_nano)} USD: {used} USD is spent. "
            + (f"It begins anew at {resets}." if resets else "It does not begin anew.")
            + " Raise the budget in the console, or ask for less (max_tokens).",
            budget={"amount": amount, "period": of.period, "used": used, "resets_at": resets},
        )


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
