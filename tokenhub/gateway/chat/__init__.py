"""The way of a request, a module a step: decide → admit → attempt ×≤3 → meter → settle (DESIGN.md §4)."""

import time
import uuid
from datetime import UTC, datetime
from typing import Any

from tokenhub.gateway.chat.admit import admit, least_case_nano
from tokenhub.gateway.chat.attempt import attempt, complete_chat
from tokenhub.gateway.chat.decide import decide_route
from tokenhub.gateway.chat.exchange import Answer, AnyRequest, Exchange
from tokenhub.gateway.chat.settle import record_failure, release
from tokenhub.gateway.dialects.request import TextRequest
from tokenhub.gateway.directory import Caller
from tokenhub.gateway.errors import GatewayError, UnbillableResult
from tokenhub.gateway.runtime import Runtime

__all__ = ["Answer", "Exchange", "answer", "begin", "recorded"]


def begin(
    request_id: uuid.UUID, caller: Caller, secret: str, request: AnyRequest
) -> Exchange[AnyRequest]:
    """A request that passed authentication and parsing."""
    return Exchange(request_id, caller, request, time.monotonic(), datetime.now(UTC), secret)


async def answer(runtime: Runtime, exchange: Exchange[TextRequest]) -> Answer:
    """Carry a request to its result; every ``GatewayError`` has been recorded when it is raised."""
    with recorded(runtime, exchange):
        candidates = decide_route(runtime, exchange, cost_nano=least_case_nano)
        candidates = await admit(runtime, exchange, candidates)
        return await attempt(runtime, exchange, candidates, complete_chat)


class recorded:  # noqa: N801  (used as a function)
    """Whatever ends a request inside leaves no money held and its failure on record."""

    __slots__ = ("_exchange", "_runtime")

    def __init__(self, runtime: Runtime, exchange: Exchange[Any]) -> None:
        self._runtime = runtime
        self._exchange = exchange

    def __enter__(self) -> None:
        """What is inside is the request."""

    def __exit__(self, _kind: Any, error: BaseException | None, _trace: Any) -> None:
        if error is None or isinstance(error, UnbillableResult):
            return  # the settler has put an unbillable one on record
        if isinstance(error, GatewayError):
            record_failure(self._runtime, self._exchange, error)
        else:
            release(self._runtime, self._exchange)
