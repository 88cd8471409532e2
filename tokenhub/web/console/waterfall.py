"""The attempts of a request as bars: when each began and how long it took, drawn by the server."""

from dataclasses import dataclass
from typing import Any

WIDTH = 600
MIN_BAR = 3


@dataclass(frozen=True, slots=True)
class Bar:
    """One attempt's place in the drawing, in its own units."""

    x: int
    width: int
    label: str
    outcome: str
    status: int | None
    latency_ms: int


def bars(attempts: list[dict[str, Any]]) -> list[Bar]:
    """Attempts follow each other, so each bar begins where the one before ended."""
    total_ms = max(1, sum(int(attempt["latency_ms"]) for attempt in attempts))
    drawn = []
    passed_ms = 0
    for attempt in attempts:
        latency_ms = int(attempt["latency_ms"])
        drawn.append(
            Bar(
                x=passed_ms * WIDTH // total_ms,
                width=max(MIN_BAR, latency_ms * WIDTH // total_ms),
                label=f"{attempt['provider']} · {attempt['region']}",
                outcome=attempt["outcome"],
                status=attempt["status"],
                latency_ms=latency_ms,
            )
        )
        passed_ms += latency_ms
    return drawn
