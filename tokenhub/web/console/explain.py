"""A request explained: its arithmetic, and what became of every offering it could have gone to."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from billing.models import Usage
from routing.pricing import TOKEN_UNITS
from tokenhub.web.words import outcome

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Considered:
    """An offering that was a candidate, and how it went. ``pill`` is the colour of the word."""

    offering: str
    word: str
    pill: str
    reason: str
    price: dict[str, str]


def unrounded_usd(lines: list[dict[str, Any]]) -> str:
    """The exact sum of ``units × price`` before its one rounding, in USD."""
    millionths = sum(
        line["count"] * line["price"] * (1 if line["unit"] in TOKEN_UNITS else MILLION)
        for line in lines
    )
    return f"${(Decimal(millionths) / MILLION / 1_000_000_000).normalize():f}"


def considered(usage: Usage) -> list[Considered]:
    """The candidates in their order. An attempt is that of the first candidate at its provider and region."""
    outcomes = {
        (attempt["provider"], attempt["region"]): attempt["outcome"] for attempt in usage.attempts
    }
    rows = []
    for place, candidate in enumerate(usage.routing.get("candidates", ()), 1):
        came_to = outcomes.pop((candidate["provider"], candidate["region"]), None)
        word, pill = _fate(came_to, usage.status == Usage.Status.SUCCEEDED)
        rows.append(
            Considered(
                offering=_offering(candidate),
                word=word,
                pill=pill,
                reason=f"{place}. {candidate['reason']}",
                price=candidate.get("price") or {},
            )
        )
    return rows


def _fate(came_to: str | None, succeeded: bool) -> tuple[str, str]:
    if came_to is None:
        return ("Not needed" if succeeded else "Not tried"), ""
    if came_to == "succeeded":
        return "Answered", "ok"
    return f"Tried: {outcome(came_to)}", "bad"


def _offering(candidate: dict[str, Any]) -> str:
    return f"{candidate['provider']}/{candidate['model']} · {candidate['region']}"
