"""What a gateway's memory says of a lease is what the database says of it, whatever overtakes what."""

import asyncio
import json
import uuid
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from accounts.ids import uuid7
from billing.models import BudgetLease, Lease
from tests import factories
from tokenhub.gateway.database import Arguments, Link
from tokenhub.gateway.funds import Balances, Budget, Budgets
from tokenhub.gateway.leases import Lease as Held
from tokenhub.gateway.leases import LeaseBook


class Overtaken:
    """Funds of either kind, where a charge reaches the database just before the first return does."""

    def __init__(self, funds: Balances | Budgets, link: Link) -> None:
        self._funds = funds
        self._link = link
        self.charge: dict[str, Any] | None = None
        self.overtaken = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._funds, name)

    async def give_back(self, lease: uuid.UUID, of: Any, keep_nano: int) -> int:
        charge, self.charge = self.charge, None
        if charge is not None:
            await self._link.fetch(
                "SELECT billing_settle(%s, %s::json)", (uuid7(), json.dumps([charge]))
            )
            self.overtaken.set()
        return await self._funds.give_back(lease, of, keep_nano)


@pytest.mark.parametrize("charged_nano", [1, 19, 20, 21, 60, 100])
@pytest.mark.parametrize("kind", ["balance", "budget"])
def test_a_charge_that_overtakes_a_return(
    committed: None, gateway_environ: dict[str, str], kind: str, charged_nano: int
) -> None:
    """Two requests hold 100 each, and 20 are free, when another gateway asks for them."""
    tenant = factories.organization(credit_nano=220 if kind == "balance" else 1_000)
    charge = factories.result(tenant, charged_nano, service_fee_bps=0)

    lease = asyncio.run(_overtaken(gateway_environ["DATABASE_URL"], kind, charge))

    if kind == "balance":
        row: Lease | BudgetLease = Lease.objects.for_organization(tenant).get()
    else:
        row = BudgetLease.objects.for_organization(tenant).get()
    assert row.spent_nano == charged_nano
    assert lease.outstanding_nano == 100
    assert lease.free_nano + lease.outstanding_nano == row.granted_nano - row.spent_nano


async def _overtaken(url: str, kind: str, charge: dict[str, Any]) -> Held:
    link = Link(url, "test")
    organization = charge["organization_id"]
    balances = LeaseBook(Balances(link), "test", ttl_s=30)
    of: Any = organization
    funds = Overtaken(Balances(link), link)
    if kind == "budget":
        of = Budget(organization, organization, 220, "total").at(datetime.now(UTC))
        funds = Overtaken(Budgets(link), link)
    book: LeaseBook[Any] = LeaseBook(funds, "test", ttl_s=30)
    try:
        first = await book.hold(of, 100)
        await book.hold(of, 100)
        book.release(await book.hold(of, 20))
        assert first.lease.free_nano == 20
        if kind == "budget":
            paying = await balances.hold(organization, 100)
            charge = {**charge, "budget_leases": [str(first.lease.id)]}
            funds.charge = {**charge, "lease_id": str(paying.lease.id)}
        else:
            funds.charge = {**charge, "lease_id": str(first.lease.id)}

        book.wanted(organization)
        await asyncio.wait_for(funds.overtaken.wait(), 10)
        book.settled(first, charge["model_fee_nano"])
        await book.close()
        return first.lease
    finally:
        await link.close()


class Cut(Link):
    """The connection breaks between the first return and its answer."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__(url, name)
        self.cut = asyncio.Event()

    async def _run(self, statement: str, arguments: Arguments) -> list[tuple[Any, ...]]:
        rows = await super()._run(statement, arguments)
        if "billing_return" in statement and not self.cut.is_set():
            self.cut.set()
            raise psycopg.OperationalError("the connection is gone")
        return rows


def test_what_may_have_been_returned_is_not_held_again(
    committed: None, gateway_environ: dict[str, str]
) -> None:
    tenant = factories.organization(credit_nano=220)

    async def run() -> Held:
        link = Cut(gateway_environ["DATABASE_URL"], "test")
        book = LeaseBook(Balances(link), "test", ttl_s=30)
        try:
            first = await book.hold(tenant.id[4:], 100)
            book.release(await book.hold(tenant.id[4:], 20))
            book.wanted(tenant.id[4:])
            await asyncio.wait_for(link.cut.wait(), 10)
            await book.close()
            return first.lease
        finally:
            await link.close()

    lease = asyncio.run(run())

    row = Lease.objects.for_organization(tenant).get()
    assert row.granted_nano == 100
    assert (lease.outstanding_nano, lease.free_nano) == (100, 0)
