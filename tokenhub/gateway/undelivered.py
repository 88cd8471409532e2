"""Charges of results that nobody was given: taken back, again and again until it has worked.

Beside the writer, which goes on meanwhile. The journal keeps its marks until then, so what this process does
not get done is done by whoever finds its journal.
"""

import asyncio
import uuid
from collections.abc import Mapping

import structlog
from django.db import Error, connection

from billing.services import take_back
from tokenhub.gateway.journal import Journal

log = structlog.get_logger(__name__)

RETRY_S = 1.0
STOP_WITHIN_S = 5.0


class Undelivered:
    """What is still to be taken back."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._slots: dict[uuid.UUID, int] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def slots(self) -> frozenset[int]:
        """Their places in the journal."""
        return frozenset(self._slots.values())

    def add(self, slots: Mapping[uuid.UUID, int]) -> None:
        """Take these back, as far as they are charged."""
        self._slots.update(slots)
        if self._slots and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._work(), name="undelivered")

    async def stop(self) -> None:
        """A last while for what is left; the rest stays in the journal."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=STOP_WITHIN_S)
            self._task.cancel()

    async def _work(self) -> None:
        while self._slots:
            owed = dict(self._slots)
            try:
                await asyncio.to_thread(_take_back, [f"req_{request.hex}" for request in owed])
            except Error as error:
                log.warning("not_taken_back_yet", results=len(owed), cause=str(error))
                await asyncio.sleep(RETRY_S)
                continue
            for request, slot in owed.items():
                self._journal.done(slot)
                del self._slots[request]


def _take_back(request_ids: list[str]) -> None:
    try:
        take_back(request_ids, reason="service_unavailable")
    finally:
        connection.close()  # the thread is anybody's next
