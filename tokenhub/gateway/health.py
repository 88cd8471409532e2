"""Carries health both ways: what this process saw to the record, and the record to its decisions."""

import asyncio
import time
from collections.abc import Mapping, Sequence

import structlog
from django.db import Error as DatabaseError
from django.db import connection

from routing.credentials import Refusal, record
from routing.health import Seen, Source, observe
from routing.selectors import load_health
from routing.types import Health
from tokenhub.gateway.breaker import Breaker
from tokenhub.gateway.keyring import Credentials

log = structlog.get_logger(__name__)

EVERY_S = 0.25
REPORT_EVERY_S = 10.0
"""In quiet times; what is urgent is reported at once."""
LOAD_EVERY_S = 10.0
"""Latencies change without a word, and a word may get lost."""
RETRY_S = 1.0


class HealthLink:
    """The breaker's way to the record and back."""

    def __init__(self, breaker: Breaker, credentials: Credentials) -> None:
        self._breaker = breaker
        self._credentials = credentials
        self._stale = True
        self._task: asyncio.Task[None] | None = None
        self._reported_s = time.monotonic()
        self.loaded_s = 0.0
        """When the record was read last, in monotonic seconds; 0 before the first time."""

    def changed(self) -> None:
        """Some offering's status changed: read the record again soon."""
        self._stale = True

    def start(self) -> None:
        """Begin to carry."""
        self._task = asyncio.create_task(self._run(), name="health")

    async def stop(self) -> None:
        """Report what is left, then end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        try:
            await self._report()
        except DatabaseError:
            log.warning("health_not_reported")

    async def _run(self) -> None:
        while True:
            try:
                now_s = time.monotonic()
                urgent = self._breaker.urgent or self._credentials.urgent
                if urgent or now_s - self._reported_s > REPORT_EVERY_S:
                    await self._report()
                if self._stale or now_s - self.loaded_s > LOAD_EVERY_S:
                    self._stale = False
                    recorded = await asyncio.to_thread(_load)
                    self._breaker.learn(recorded, time.monotonic())
                    self.loaded_s = now_s
                await asyncio.sleep(EVERY_S)
            except DatabaseError as error:
                self._stale = True
                log.warning("health_not_exchanged", cause=type(error).__name__)
                await asyncio.sleep(RETRY_S)
            except Exception:
                self._stale = True
                log.exception("health_not_understood")
                await asyncio.sleep(RETRY_S)

    async def _report(self) -> None:
        self._reported_s = time.monotonic()
        report, refusals = self._breaker.report(), self._credentials.report()
        if not report and not refusals:
            return
        try:
            await asyncio.to_thread(_record, report, refusals)
        except BaseException:
            self._breaker.put_back(report)
            self._credentials.put_back(refusals)
            raise


def _record(report: Mapping[int, Seen], refusals: Sequence[Refusal]) -> None:
    try:
        observe(report, source=Source.GATEWAY)
        record(refusals)
    finally:
        connection.close()


def _load() -> Health:
    try:
        return load_health()
    finally:
        connection.close()
