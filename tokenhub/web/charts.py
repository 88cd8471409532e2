"""Charts as numbers for SVG that a template draws: no script, no library, readable without seeing them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 720, 180
MOST_SERIES = 6
OTHER = "Other"
_STEPS = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Bar:
    """One piece of a stack; ``series`` is the place of its series."""

    series: int
    x: float
    y: float
    width: float
    height: float
    words: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A line across, with the number it stands for."""

    y: float
    value: int


@dataclass(frozen=True, slots=True)
class Stacked:
    """Stacked bars from zero."""

    bars: list[Bar]
    ticks: list[Tick]
    series: list[str]
    width: int = WIDTH
    height: int = HEIGHT


def stacked(labels: Sequence[str], series: Mapping[str, Sequence[int]]) -> Stacked:
    """Bars of ``series`` (name → a value for each label, none below zero), stacked in their order."""
    highest = max((sum(values) for values in zip(*series.values(), strict=True)), default=0)
    top = _round_up(highest)
    slot = WIDTH / max(len(labels), 1)
    bars = []
    for place, label in enumerate(labels):
        bottom = float(HEIGHT)
        for number, (name, values) in enumerate(series.items()):
            height = values[place] / top * HEIGHT if top else 0
            if height:
                bottom -= height
                bars.append(
                    Bar(
                        number, round(place * slot + slot * 0.1, 2), round(bottom, 2),
                        round(slot * 0.8, 2), round(height, 2), f"{label}, {name}",
                    )
                )  # fmt: skip
    quarters = range(1, 5) if top else ()
    ticks = [Tick(HEIGHT - HEIGHT * part / 4, top * part // 4) for part in quarters]
    return Stacked(bars, ticks, list(series))


def largest(series: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """The largest six, the rest together as “Other”."""
    ordered = sorted(series.items(), key=lambda item: (-sum(item[1]), item[0]))
    kept = {name: list(values) for name, values in ordered[:MOST_SERIES]}
    rest = [values for _, values in ordered[MOST_SERIES:]]
    if rest:
        kept[OTHER] = [sum(column) for column in zip(*rest, strict=True)]
    return kept


def _round_up(highest: int) -> int:
    """The next number of one digit and zeros that four lines divide."""
    if highest <= 0:
        return 0
    step = 4
    while True:
        for factor in _STEPS:
            if step * factor >= highest:
                return step * factor
        step *= 10
