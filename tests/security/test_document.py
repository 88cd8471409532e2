"""``docs/security.md`` names a test for every attack, and each of them exists."""

import ast
import re
from functools import cache
from pathlib import Path

from tests.processes import BASE_DIR

TESTS = BASE_DIR / "tests"
DOCUMENT = BASE_DIR / "docs" / "security.md"
EVERY = [f"{letter}{number}" for letter, last in (("M", 23), ("R", 9), ("K", 11), ("T", 6)) for number in range(1, last + 1)]  # fmt: skip
ROW = re.compile(r"^\| ([MRKT]\d+) \| ([^|]+) \| ([^|]*) \|$", re.MULTILINE)
# A row without a test says why it cannot happen, in a sentence that begins so.
REASON = "Cannot happen: "
# What is still open says so, here and there.
OPEN: set[str] = set()
NOT_YET = ("Not built yet", "Not tried yet")


@cache
def names_in(path: Path) -> set[str]:
    """The names that pytest would collect from a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def rows() -> list[tuple[str, str, str]]:
    return ROW.findall(DOCUMENT.read_text(encoding="utf-8"))


def test_every_attack_is_in_the_table_once() -> None:
    assert [number for number, _, _ in rows()] == EVERY


def test_every_attack_is_tried_or_cannot_happen_or_is_said_to_be_open() -> None:
    still_open = {number for number, _, tried in rows() if tried.startswith(NOT_YET)}
    without = [
        number
        for number, _, tried in rows()
        if number not in still_open and "::" not in tried and not tried.startswith(REASON)
    ]

    assert without == []
    assert still_open == OPEN


def test_every_named_test_exists() -> None:
    missing = []
    for number, _, tried in rows():
        for name in re.findall(r"`([^`]+::[^`]+)`", tried):
            file, _, function = name.partition("::")
            path = TESTS / file
            if path.name.startswith("test_") and path.is_file() and function in names_in(path):
                continue
            missing.append((number, name))

    assert missing == []
