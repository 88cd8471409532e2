"""Real processes for tests: started on free ports, polled until ready, ended by their pid."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

BASE_DIR = Path(__file__).resolve().parents[1]
T = TypeVar("T")


def free_port() -> int:
    """A port below those the kernel gives to clients.

    Clients that knock at a closed port of their own range can end up connected to themselves, and
    then hold the port against the server that wants it back.
    """
    while True:
        port = random.randrange(18_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def eventually(probe: Callable[[], T], *, within_s: float = 30.0, what: str = "it") -> T:
    """Poll until ``probe`` returns something true; its value. Fails after the deadline."""
    deadline = time.monotonic() + within_s
    while True:
        value = probe()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} did not happen within {within_s} s"
        time.sleep(0.02)


class Server:
    """A program that serves HTTP on a port of its own, kept over restarts."""

    def __init__(
        self,
        command: list[str],
        environ: Mapping[str, str | None],
        ready_path: str,
        *,
        python: Path | str = sys.executable,
        ready_within_s: float = 90,
        cwd: Path = BASE_DIR,
        user: int | None = None,
        log: Path | None = None,
    ) -> None:
        self._cwd, self._user, self._log = cwd, user, log
        self._python = python
        self._ready_within_s = ready_within_s
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = [part.format(port=self.port) for part in command]
        # None takes a variable away.
        merged = {**os.environ, **environ}
        self._environ = {
            name: value.replace("{port}", str(self.port))
            for name, value in merged.items()
            if value is not None
        }
        self._ready_path = ready_path
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Server":
        """Run it and wait until it is ready."""
        with contextlib.ExitStack() as stack:
            log = stack.enter_context(self._log.open("ab")) if self._log else None
            self.process = subprocess.Popen(
                [self._python, *self._command], env=self._environ, cwd=self._cwd, user=self._user,
                stdout=log, stderr=log,
            )  # fmt: skip
        eventually(
            self._ready, within_s=self._ready_within_s, what=f"{self._command[0]} being ready"
        )
        return self

    def kill(self) -> None:
        """``kill -9``."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """An orderly end."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"it ended with {self.process.returncode}"
        try:
            with urllib.request.urlopen(self.url + self._ready_path, timeout=2):
                return True
        except OSError:
            return False
