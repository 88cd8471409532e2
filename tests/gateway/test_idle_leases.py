"""Leases that nobody uses any more return together, and one that came into use meanwhile does not."""

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any

from tokenhub.gateway.funds import Drawn
from tokenhub.gateway.leases import TOGETHER, LeaseBook

TTL_S = 0.3  # a lease is idle after a third of it


class Fund:
    """Money without end, and a record of what was returned together."""

    def __init__(self) -> None:
        self.closed: list[list[str]] = []

    def name(self, of: str) -> str:
        return of

    async def draw(self, *_: Any) -> Drawn:
        return Drawn(1_000_000, 1_000_000, 0)

    async def close(self, leases: Sequence[tuple[uuid.UUID, str]]) -> None:
        self.closed.append([of for _, of in leases])

    async def renew(self, leases: Sequence[uuid.UUID], _ttl_s: float) -> set[uuid.UUID]:
        return set(leases)


def kept(names: list[str], *, used: str) -> tuple[Fund, LeaseBook[str]]:
    """What is left after all were used once, and ``used`` is again when the others are idle."""
    fund = Fund()
    book: LeaseBook[str] = LeaseBook(fund, "test", TTL_S)  # type: ignore[arg-type]

    async def run() -> None:
        for name in names:
            book.release(await book.hold(name, 10))
        await asyncio.sleep(TTL_S / 3 * 1.1)
        held = await book.hold(used, 10)
        await book.keep()
        book.release(held)

    asyncio.run(run())
    return fund, book


def test_idle_leases_return_together_and_one_in_use_stays() -> None:
    names = [f"org-{number}" for number in range(5)]

    fund, book = kept(names, used="org-3")

    assert fund.closed == [["org-0", "org-1", "org-2", "org-4"]]
    assert book.open() == 1
    assert book.on_hold_nano() == 0


def test_thousands_return_in_some_statements_not_in_one_each() -> None:
    names = [f"org-{number}" for number in range(2 * TOGETHER + 1)]

    fund, _ = kept(names, used="org-0")

    assert [len(together) for together in fund.closed] == [TOGETHER, TOGETHER]
