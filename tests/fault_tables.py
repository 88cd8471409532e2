"""The fault matrices as tables at the end of a test run, also of one in several processes.

A test records a row by its property ``ROW``; pytest-xdist carries properties, where it drops what is printed.
"""

from collections.abc import Iterable
from typing import Any

ROW = "fault_row"
HEADS = {
    "text": ("fault", "answer", "of the first", "of the second", "of the third"),
    "media": ("fault", "answer", "of the first", "of all"),
}


def row(record_property: Any, table: str, *cells: str) -> None:
    """Put a row on record for the table that is printed at the end."""
    record_property(ROW, [table, *cells])


def lines(reports: Iterable[Any]) -> list[str]:
    """The tables of what was recorded, as text."""
    rows: dict[str, list[list[str]]] = {}
    for report in reports:
        for name, value in getattr(report, "user_properties", ()):
            if name == ROW and getattr(report, "when", "") == "call":
                rows.setdefault(value[0], []).append(value[1:])
    printed = []
    for table, found in sorted(rows.items()):
        head = list(HEADS[table])
        widths = [max(len(line[column]) for line in [head, *found]) for column in range(len(head))]
        printed.append(f"Faults of providers, {table}: {len(found)} rows")
        printed += [
            " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in [head, *sorted(found)]
        ]
    return printed
