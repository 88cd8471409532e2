"""Knowing a process again later, though its id may have been given to another."""

import contextlib
import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from tokenhub.stack.privileges import owned_by_parent

POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class Process:
    """A process id together with when that process began, which no later one shares."""

    pid: int
    began: str

    @classmethod
    def of(cls, pid: int) -> "Process | None":
        """The process that has ``pid`` now; None if there is none or it has ended."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)  # an ended child of ours is forgotten here
        began = _began(pid)
        return None if began is None else cls(pid, began)

    @classmethod
    def load(cls, path: Path) -> "Process | None":
        """The process recorded in a file, if it still lives."""
        try:
            record = json.loads(path.read_text())
            process = cls(record["pid"], record["began"])
        except (FileNotFoundError, ValueError, KeyError):
            return None
        return process if process.lives() else None

    def save(self, path: Path) -> None:
        """Record the process in a file, all at once."""
        write_privately(path, json.dumps({"pid": self.pid, "began": self.began}))

    def lives(self) -> bool:
        """Whether this very process still runs."""
        return Process.of(self.pid) == self

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        if self.lives():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end; False if it did not come in time."""
        # Not psutil's wait, which also waits for somebody to collect a process that has ended.
        deadline = time.monotonic() + timeout_s
        while self.lives():
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        return True


def write_privately(path: Path, text: str) -> None:
    """Write a file that only its owner can read; readers see the old or the new, never a part."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    owned_by_parent(draft)
    draft.replace(path)


def _began(pid: int) -> str | None:
    """When a living process began, in a form that a step of the clock does not change."""
    stat_file = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            fields = stat_file.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return None if fields[0] in ("Z", "X") else f"{boot}:{fields[19]}"
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else str(process.create_time())
    except psutil.NoSuchProcess:
        return None
