"""Child processes under supervision: their output, their restarts, their end."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PR_SET_PDEATHSIG = 1
BACKOFF_S = (0.0, 0.5, 1.0, 2.0, 5.0)
STEADY_S = 2.0
"""Who lived this long did not die of its start, and starts again at once. Only what ends right away could spin."""


# Loaded here: between fork and exec nothing may be imported or allocated that can be avoided.
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent() -> Callable[[], None]:
    """A ``preexec_fn``: the child ends when this process does, however it ends.

    Linux only; elsewhere nothing. Start such children from the main thread: the kernel watches
    the thread that forked.
    """
    parent = os.getpid()

    def in_child() -> None:
        if _libc is not None:
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:  # it ended before the kernel was told
                os._exit(1)

    return in_child


@dataclass(slots=True)
class Child:
    """One program that must keep running."""

    name: str
    command: Sequence[str | Path]
    environ: Mapping[str, str]
    report: Callable[[str, str], None]
    directory: Path | None = None
    stop_within_s: float = 10.0
    pass_fds: tuple[int, ...] = ()
    process: subprocess.Popen[str] | None = None
    restarts: int = 0
    _started_s: float = field(default=0.0, repr=False)
    _retry_s: float = field(default=0.0, repr=False)
    _reader: threading.Thread | None = field(default=None, repr=False)

    def start(self) -> None:
        """Run it, and pass its output on line by line."""
        self.process = subprocess.Popen(
            self.command,
            env=dict(self.environ),
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # Its own session: a Ctrl-C reaches it through us, in the right order.
            start_new_session=True,
            pass_fds=self.pass_fds,
            preexec_fn=die_with_parent(),
        )
        self._started_s = time.monotonic()
        self._reader = threading.Thread(target=self._pass_on, args=(self.process,), daemon=True)
        self._reader.start()

    def keep(self) -> None:
        """Start it again where it has ended, later each time it ends early."""
        now_s = time.monotonic()
        if self.process is not None:
            code = self.process.poll()
            if code is None:
                return
            self.kill()  # what it had started does not outlive it
            if now_s - self._started_s > STEADY_S:
                self.restarts = 0
            wait_s = BACKOFF_S[min(self.restarts, len(BACKOFF_S) - 1)]
            self.report(
                self.name,
                f"ended with {_how(code)}; starts again {f'in {wait_s} s' if wait_s else 'now'}",
            )
            self.restarts += 1
            self.process, self._retry_s = None, now_s + wait_s
        if now_s >= self._retry_s:
            self.start()

    def stop(self) -> None:
        """Ask it to end; insist after its time."""
        process = self.process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(self.stop_within_s)
        except subprocess.TimeoutExpired:
            self.report(self.name, "does not end by itself; killed")
        self.kill()
        process.wait()
        self.process = None

    def kill(self) -> None:
        """End it and everything it started, by force."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def _pass_on(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.report(self.name, line.rstrip("\n"))


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
