"""Whatever is logged on the way of a call says for which: looked up when something is logged, not bound each time."""

from contextvars import ContextVar
from typing import Any, Protocol


class Named(Protocol):
    """What the log calls a request."""

    def names(self) -> dict[str, str]:
        """The request's id and, once it is known, the organization's."""


current: ContextVar[Named | None] = ContextVar("tokenhub_call", default=None)


def name_the_call(_logger: Any, _method: str, event: Any) -> Any:
    """A processor of structlog's: what the event itself says of its request goes before."""
    call = current.get()
    return event if call is None else {**call.names(), **event}
