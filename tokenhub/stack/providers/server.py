"""What all connections of the simulated providers share, and the control plane over it."""

import os
from collections import deque
from typing import Any

import msgspec

from tokenhub.stack.providers import dashscope, openai
from tokenhub.stack.providers.calls import Call
from tokenhub.stack.providers.catalogue import Catalogue
from tokenhub.stack.providers.faults import MODES, Fault, Faults

MAX_CALLS = 200_000


class Server:
    """What all connections share."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.faults = Faults()
        self.calls: deque[Call] = deque(maxlen=MAX_CALLS)
        self.cache = openai.PromptCache()
        self.tasks: dict[str, dashscope.Task] = {}
        self.url = ""
        self._counter = 0
        self._run = os.urandom(4).hex()

    def next_id(self) -> str:
        """A call's id, unique over restarts."""
        self._counter += 1
        return f"{self._run}{self._counter:08x}"

    # the control plane

    def control(
        self, method: str, path: str, query: dict[str, str], body: bytes
    ) -> tuple[int, Any]:
        """Answer a request below ``/_control``."""
        if path == "/faults" and method == "PUT":
            try:
                fault = msgspec.json.decode(body, type=Fault)
            except msgspec.DecodeError as error:
                return 400, {"error": str(error)}
            if fault.mode not in MODES:
                return 400, {"error": f"mode is one of {', '.join(MODES)}"}
            self.faults.put(fault)
            return 200, {"data": self.faults.active}
        if path == "/faults" and method == "DELETE":
            self.faults.active.clear()
            return 200, {"data": []}
        if path == "/faults":
            return 200, {"data": self.faults.active}
        if path == "/calls" and method == "DELETE":
            kept = [call for call in self.calls if not _matches(call, query)]
            self.calls.clear()
            self.calls.extend(kept)
            return 200, {"data": []}
        if path == "/calls":
            return 200, {"data": [call for call in self.calls if _matches(call, query)]}
        if path in ("", "/"):
            return 200, {"data": self._summary()}
        return 404, {"error": "no such control"}

    def _summary(self) -> list[dict[str, Any]]:
        providers: dict[str, dict[str, Any]] = {}
        for site in self.catalogue.values():
            entry = providers.setdefault(
                site.slug,
                {
                    "slug": site.slug,
                    "url": f"{self.url}/{site.slug}",
                    "control_url": f"{self.url}/_control",
                    "regions": [],
                    "dialects": [],
                    "models": [],
                },
            )
            entry["regions"] = sorted({*entry["regions"], site.region})
            entry["dialects"] = sorted({*entry["dialects"], *site.dialects})
            entry["models"] = sorted({*entry["models"], *site.models})
        return [providers[slug] for slug in sorted(providers)]


def _matches(call: Call, query: dict[str, str]) -> bool:
    return all(getattr(call, name, None) == value for name, value in query.items())
