"""The fault matrices are printed at the end, whichever process ran them."""

from types import SimpleNamespace

from tests import fault_tables


def report(*cells: str, when: str = "call") -> SimpleNamespace:
    return SimpleNamespace(when=when, user_properties=[(fault_tables.ROW, list(cells))])


def test_what_was_recorded_is_a_table_with_its_heads() -> None:
    reports = [
        report("media", "slow", "image", "billed", "billed"),
        report("text", "slow", "plain", "billed", "billed", "502"),
        report("text", "empty", "plain", "free", "billed", "502"),
        report("text", "empty", "plain", "free", "billed", "502", when="teardown"),
        SimpleNamespace(when="call", user_properties=[]),
    ]

    printed = fault_tables.lines(reports)

    assert printed == [
        "Faults of providers, media: 1 rows",
        "fault | answer | of the first | of all",
        "slow  | image  | billed       | billed",
        "Faults of providers, text: 2 rows",
        "fault | answer | of the first | of the second | of the third",
        "empty | plain  | free         | billed        | 502",
        "slow  | plain  | billed       | billed        | 502",
    ]


def test_a_run_without_them_prints_nothing() -> None:
    assert fault_tables.lines([SimpleNamespace(when="call", user_properties=[])]) == []
