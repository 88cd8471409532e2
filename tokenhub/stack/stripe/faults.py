"""Faults on demand: requests that fail, or whose answer is lost.

``PUT /_control/faults`` takes ``{"path", "status", "times", "method"}``. ``path`` is exact, or a
pattern with ``*``; without ``method`` every method is hit; without ``times`` it stays until taken away.

status          what happens
``500``         (or another number from 500) an ``api_error``; nothing is done
``drop_before`` the connection is closed without an answer; nothing is done
``drop_after``  everything is done, and then the connection is closed without an answer
"""

from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

from tokenhub.stack.stripe.errors import invalid

DROPS = ("drop_before", "drop_after")


@dataclass
class Fault:
    """One fault and which requests it hits."""

    path: str
    status: int | str
    times: int | None = None
    method: str | None = None


class Faults:
    """The faults that are set. Used under the store's lock."""

    def __init__(self) -> None:
        self._active: list[Fault] = []

    def put(self, given: dict[str, Any]) -> None:
        """Set a fault; it replaces one with the same path and method."""
        path, status, times = given.get("path"), given.get("status"), given.get("times")
        if not isinstance(path, str):
            raise invalid("A fault has a path.", param="path")
        if status not in DROPS and not (isinstance(status, int) and 500 <= status <= 599):
            raise invalid(
                "A fault's status is 500 to 599, drop_before or drop_after.", param="status"
            )
        if times is not None and not (isinstance(times, int) and times >= 1):
            raise invalid("times is at least 1.", param="times")
        method = given.get("method")
        self._active = [
            fault for fault in self._active if (fault.path, fault.method) != (path, method)
        ]
        self._active.insert(0, Fault(path, status, times, method))

    def clear(self) -> None:
        """Take all faults away."""
        self._active.clear()

    def listing(self) -> list[dict[str, Any]]:
        """The faults that are set, the most recent first."""
        return [asdict(fault) for fault in self._active]

    def take(self, method: str, path: str) -> Fault | None:
        """The fault that hits this request, counted."""
        for fault in self._active:
            if fault.method in (None, method) and fnmatchcase(path, fault.path):
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times == 0:
                        self._active.remove(fault)
                return fault
        return None
