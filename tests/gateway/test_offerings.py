"""The catalogue of a gateway: as it was at one moment, and looked at again whatever happened the last time."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections

from routing import selectors
from routing.models import Endpoint
from tests import factories
from tests.live import Providers
from tokenhub.gateway import offerings
from tokenhub.gateway.offerings import Offerings, Snapshot

PLACE = ("deepinfra", "us", "dashscope")  # there is no such endpoint yet


def test_what_is_added_while_it_is_read_is_in_it_whole_or_not_at_all(
    committed: None, catalogue: None, providers: Providers, monkeypatch: pytest.MonkeyPatch
) -> None:
    added: list[Any] = []

    def add() -> None:
        added.append(factories.offering("sim-late", "text", PLACE, providers.url, amounts={"input": 1}))  # fmt: skip
        connections.close_all()

    def secrets_of(endpoint: Endpoint) -> Any:
        if not added:
            with ThreadPoolExecutor(1) as aside:
                aside.submit(add).result()
        return original(endpoint)

    original = selectors.secrets_of
    monkeypatch.setattr(selectors, "secrets_of", secrets_of)
    with ThreadPoolExecutor(1) as aside:
        before = aside.submit(offerings._load).result()
        after = aside.submit(offerings._load).result()
    factories.withdraw("sim-late")

    for snapshot, there in ((before, False), (after, True)):
        assert {one.id for one in snapshot.catalogue.offerings} == set(snapshot.access)
        assert (added[0].pk in snapshot.access) is there


@pytest.mark.parametrize("surprise", [KeyError("endpoint"), ValueError("no such address")])
def test_a_catalogue_that_is_not_understood_is_looked_at_again(
    monkeypatch: pytest.MonkeyPatch, surprise: Exception
) -> None:
    found = Snapshot(selectors.Catalogue((), {}), {})
    answers: list[Any] = [surprise, found]

    def load() -> Snapshot:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    monkeypatch.setattr(offerings, "_load", load)
    monkeypatch.setattr(offerings, "RETRY_S", 0.01)

    async def run() -> Snapshot | None:
        there = Offerings()
        there.start()
        async with asyncio.timeout(20):
            await there.loaded.wait()
        await there.stop()
        return there.current

    assert asyncio.run(run()) is found
