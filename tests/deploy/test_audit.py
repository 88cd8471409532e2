"""An audit that did not happen is not one that passed."""

import importlib.util
from typing import Any

import pytest

from tests.processes import BASE_DIR

_SPEC = importlib.util.spec_from_file_location("audit", BASE_DIR / ".ci" / "audit.py")
assert _SPEC is not None
assert _SPEC.loader is not None
audit = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(audit)

CLEAN = {"name": "good", "version": "1", "vulns": []}
FLAWED = {"name": "bad", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"]}]}
SKIPPED = {"name": "unknown", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("report", "code", "said"),
    [
        (None, 2, "could not be asked"),
        ({"dependencies": []}, 2, "could not be asked"),
        ({"dependencies": [SKIPPED, SKIPPED]}, 2, "nothing of 2 of 2"),
        ({"dependencies": [CLEAN, SKIPPED]}, 2, "nothing of 1 of 2"),
        ({"dependencies": [CLEAN, FLAWED]}, 1, "bad 2: PYSEC-1, fixed in 2.1"),
        ({"dependencies": [FLAWED, SKIPPED]}, 1, "PYSEC-1"),
        ({"dependencies": [CLEAN, CLEAN]}, 0, "No known vulnerability in 2"),
    ],
)
def test_only_what_was_asked_about_and_is_clean_passes(
    report: dict[str, Any] | None, code: int, said: str
) -> None:
    found, words = audit.verdict(report)

    assert found == code
    assert said in "\n".join(words)
