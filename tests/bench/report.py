"""What was measured, as a table for people: on the screen, and into ``docs/performance.md`` where asked."""

import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.bench.contenders import Contender

Row = dict[str, float]
Rows = dict[tuple[str, int], list[Row]]

PLAIN = (
    ("requests/s", "requests_per_s", "{:,.0f}"),
    ("p50 ms", "p50_ms", "{:.2f}"),
    ("added p50 ms", "added_ms", "{:.2f}"),
    ("p99 ms", "p99_ms", "{:.2f}"),
    ("CPU µs/request", "cpu_us", "{:,.0f}"),
    ("requests/s/core", "per_core", "{:,.0f}"),
    ("memory MB", "memory_mb", "{:,.0f}"),
    ("failures", "failures", "{:,.0f}"),
)
STREAMS = (
    ("events/s", "events_per_s", "{:,.0f}"),
    ("first event p50 ms", "first_p50_ms", "{:.1f}"),
    ("first event p99 ms", "first_p99_ms", "{:.1f}"),
    ("CPU µs/event", "cpu_us_event", "{:,.0f}"),
    ("memory MB", "memory_mb", "{:,.0f}"),
    ("failures", "failures", "{:,.0f}"),
)


def middle(rows: Sequence[Row]) -> Row:
    """The median of each number."""
    return {name: statistics.median(row[name] or 0 for row in rows) for name in rows[0]}


def beside(rows: Rows, nothing: str) -> None:
    """Say in every row what a contender adds to the latency (p50) of the one that is ``nothing``, round by round."""
    for (_, count), measured in rows.items():
        for row, alone in zip(measured, rows[nothing, count], strict=True):
            row["added_ms"] = (row["p50_ms"] or 0) - (alone["p50_ms"] or 0)


def commit(durable_ms: Sequence[float], plain: Rows) -> str:
    """What a lone call waits for, beside the provider: the durable commit of its charge, and the gateway."""
    ours = middle(plain["TokenHub", 1])
    commit_ms = statistics.median(durable_ms)
    return (
        f"Of the {ours['added_ms']:.2f} ms that TokenHub adds to a lone call, the durable commit of one charge takes"
        f" {commit_ms:.2f} ms (p50, measured alone, in each round); what it adds beyond that is"
        f" {ours['added_ms'] - commit_ms:.2f} ms."
    )


def table(rows: Rows, what: str, columns: Sequence[tuple[str, str, str]], ratio: str) -> str:
    """A table of medians, with our number relative to each peer's; CPU is what does not depend on others' load."""
    heads = [what, "contender", *(title for title, _, _ in columns), "TokenHub is"]
    lines = ["| " + " | ".join(heads) + " |", "|---:|---|" + "---:|" * (len(columns) + 1)]
    for count in dict.fromkeys(count for _, count in rows):
        ours = middle(rows["TokenHub", count])
        for name in dict.fromkeys(name for name, _ in rows):
            if (name, count) not in rows:
                continue
            taken = middle(rows[name, count])
            # Without a gateway nothing of one is used; no stream of 5 s begins within a shorter measurement.
            cells = [
                form.format(taken[key]) if taken[key] or key == "failures" else "–"
                for _, key, form in columns
            ]
            if taken["failures"] > taken["requests"] / 2:
                cells[:-1] = ["fails"] * (len(cells) - 1)
            times = taken[ratio] / ours[ratio] if ours[ratio] else 0.0
            compared = taken[ratio] and name != "TokenHub" and not taken["failures"]
            said = f"{times:,.2f} × as cheap" if compared else ""
            lines.append(f"| {count} | {name} | " + " | ".join([*cells, said]) + " |")
    return "\n".join(lines)


def heading(contenders: Sequence[Contender], rounds: int, seconds: float, pinned: bool) -> str:
    """When, where and with what."""
    versions = ", ".join(f"{one.name} {one.version}" for one in contenders if one.is_gateway)
    pinning = "one core for what is measured, the other for the rest" if pinned else "not pinned"
    return (
        f"{time.strftime('%Y-%m-%d')}, Python {platform.python_version()}, {pinning}; medians of"
        f" {rounds} × {seconds:g} s, loopback, answers of about 1 KB, closed loop. {versions}."
    )


def scale(rows: Mapping[str, Sequence[Row]]) -> str:
    """A table of medians, each relative to the first."""
    lines = [
        "| among | CPU µs/request | requests/s | failures | × the first |",
        "|---|---:|---:|---:|---:|",
    ]
    taken = {title: middle(measured) for title, measured in rows.items()}
    first = next(iter(taken.values()))["cpu_us"]
    for title, row in taken.items():
        times = row["cpu_us"] / first if first else 0.0
        lines.append(
            f"| {title} | {row['cpu_us']:,.0f} | {row['requests_per_s']:,.0f} | {row['failures']:.0f} | {times:.2f} |"
        )
    return "\n".join(lines)


def write(path: Path, text: str, part: str) -> None:
    """Replace what was measured before, between the marks of a part; the words around it stay."""
    page = path.read_text(encoding="utf-8")
    begin, end = f"<!-- {part} -->", f"<!-- /{part} -->"
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    path.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")
