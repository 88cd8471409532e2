"""A child that keeps ending: later each time where it dies of its start, at once where it had lived."""

import os
import signal
import sys
from typing import Any

from tests.processes import eventually
from tokenhub.stack import children
from tokenhub.stack.children import Child

FOR_EVER = "import time; print('up', flush=True); time.sleep(600)"


class Log(list[str]):
    """What a child's keeper reported."""

    def __call__(self, _name: str, line: str) -> None:
        self.append(line)

    @property
    def again(self) -> list[str]:
        """How soon it was started again, each time it ended."""
        return [line.partition("starts again ")[2] for line in self if "starts again" in line]


def child(code: str, log: Log) -> Child:
    made = Child("child", [sys.executable, "-c", code], dict(os.environ), log)
    made.start()
    return made


def test_what_dies_of_its_start_is_started_later_each_time() -> None:
    log = Log()
    ends = child("raise SystemExit(3)", log)

    eventually(lambda: ends.keep() or len(log.again) >= 3, what="three ends")  # type: ignore[func-returns-value]

    ends.stop()
    assert log.again[:3] == ["now", "in 0.5 s", "in 1.0 s"]


def test_what_was_killed_after_it_had_lived_starts_at_once_however_often(monkeypatch: Any) -> None:
    monkeypatch.setattr(children, "STEADY_S", 0.0)
    log = Log()
    lives = child(FOR_EVER, log)

    for number in range(1, 6):
        eventually(lambda n=number: log.count("up") == n, what="its start")
        assert lives.process is not None
        os.kill(lives.process.pid, signal.SIGKILL)
        eventually(lambda n=number: lives.keep() or len(log.again) == n, what="its end")  # type: ignore[func-returns-value]

    lives.stop()
    assert log.again == ["now"] * 5
