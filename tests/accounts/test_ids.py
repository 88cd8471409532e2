"""Identifiers: well-formed, told apart, and in the order they were made in."""

import time
import uuid

from accounts.ids import uuid7


def test_an_identifier_is_a_uuid_of_version_7_and_of_now() -> None:
    before_ms = time.time_ns() // 1_000_000
    made = uuid7()
    after_ms = time.time_ns() // 1_000_000

    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert before_ms <= made.int >> 80 <= after_ms


def test_what_is_made_within_a_millisecond_is_in_order() -> None:
    made = []
    for _ in range(200):
        made.append(uuid7())
        began_ns = time.perf_counter_ns()
        while time.perf_counter_ns() - began_ns < 2_000:
            pass  # far less than a millisecond, and more than the fraction tells apart

    assert made == sorted(made)
    assert len(set(made)) == 200
