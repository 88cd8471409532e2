"""Requests per minute in this process's memory, by the generic cell rate algorithm."""

import math

import msgspec

PRUNE_AT = 20_000


class Allowance(msgspec.Struct, frozen=True):
    """What a limit said about one request; ``retry_after_s`` is 0 where it was let through."""

    limit: int
    remaining: int
    reset_s: float
    retry_after_s: float

    def headers(self) -> dict[str, str]:
        """The headers that every limited response carries."""
        return {
            "x-ratelimit-limit-requests": str(self.limit),
            "x-ratelimit-remaining-requests": str(self.remaining),
            "x-ratelimit-reset-requests": f"{self.reset_s:.3f}s",
        }

    @property
    def wait_s(self) -> int:
        """Whole seconds after which one more request fits, for ``retry-after``."""
        return max(1, math.ceil(self.retry_after_s))


class RateLimiter:
    """The generic cell rate algorithm: a full minute's requests may come at once, then evenly.

    Source: ITU-T I.371; the state is the theoretical arrival time (seconds) of the next request.
    """

    def __init__(self) -> None:
        self._arrival_s: dict[str, float] = {}

    def take(self, name: str, rpm: int, now_s: float) -> Allowance:
        """Count one request of ``name`` against ``rpm`` at a monotonic time in seconds."""
        allowance = self.look(name, rpm, now_s)
        if not allowance.retry_after_s:
            self.set(name, now_s + allowance.reset_s, now_s)
        return allowance

    def look(self, name: str, rpm: int, now_s: float) -> Allowance:
        """What ``take`` would say."""
        interval_s = 60.0 / rpm
        ahead_s = self.ahead_s(name, now_s)
        if ahead_s + interval_s > 60.0 + 1e-9:
            return Allowance(rpm, 0, ahead_s, max(ahead_s + interval_s - 60.0, 1e-9))
        remaining = int((60.0 - ahead_s - interval_s + 1e-9) / interval_s)
        return Allowance(rpm, remaining, ahead_s + interval_s, 0.0)

    def give_back(self, name: str, rpm: int) -> None:
        """Uncount one request that was let through."""
        if name in self._arrival_s:
            self._arrival_s[name] -= 60.0 / rpm

    def ahead_s(self, name: str, now_s: float) -> float:
        """How long until all of ``name``'s requests would be there again."""
        return max(self._arrival_s.get(name, 0.0) - now_s, 0.0)

    def set(self, name: str, arrival_s: float, now_s: float) -> None:
        """Take over what somebody who counts for everybody said."""
        if len(self._arrival_s) >= PRUNE_AT:
            self._arrival_s = {other: at for other, at in self._arrival_s.items() if at > now_s}
        self._arrival_s[name] = arrival_s
