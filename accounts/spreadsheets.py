"""Tables as CSV, a line at a time, with nothing in them that a spreadsheet would calculate."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from typing import Any


class _Line:
    """A file that gives back what is written to it."""

    def write(self, text: str) -> str:
        return text


def csv_lines(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """The table as the lines of a CSV file (RFC 4180), its header first, each cell inert."""
    writer = csv.writer(_Line(), lineterminator="\r\n")
    yield str(writer.writerow(columns))
    for row in rows:
        yield str(writer.writerow([inert(cell) for cell in row]))


def inert(cell: Any) -> Any:
    """A cell that no spreadsheet takes for a formula; what already begins with a quote gets another.

    Source: OWASP, CSV Injection.
    """
    if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r", "'"):
        return cell if _is_number(cell) else f"'{cell}"
    return cell


def _is_number(text: str) -> bool:
    return text.lstrip("-").replace(".", "", 1).isdigit()
