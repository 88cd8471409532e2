"""A real server that lives as long as somebody uses it: what embedded PostgreSQL and Redis share.

Any number of processes may use one data directory at once. Each holds two shared locks for as
long as it does: ``users`` answers "is anybody left?", and ``alive`` lets the keeper wait for the
last to go. Whoever starts, stops or asks does so behind the exclusive lock ``gate``. The kernel
drops the locks of a process that was killed, so a user that vanished is never counted.

The server runs in a session of its own: a Ctrl-C in a terminal reaches its users, not it. The
last user to leave stops it. If the last one was killed, the keeper, a small process that came
with the server, does.
"""

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from tokenhub.stack.errors import ServiceFailedError
from tokenhub.stack.locks import FileLock
from tokenhub.stack.privileges import Account, account_for, open_the_way, owned_by_parent
from tokenhub.stack.processes import POLL_S, Process

START_TIMEOUT_S = 120.0  # recovery after a crash replays the log, which takes as long as it takes
STOP_TIMEOUT_S = 30.0
LOG_LIMIT_BYTES = 5_000_000
LOG_TAIL_LINES = 20
PROJECT_DIR = Path(__file__).resolve().parents[2]


class EmbeddedService(ABC):
    """A server under ``data_dir``, shared by every process that started it."""

    name: ClassVar[str]
    title: ClassVar[str]
    stop_signals: ClassVar[tuple[signal.Signals, ...]]

    def __init__(self, data_dir: Path) -> None:
        self.directory = Path(data_dir).expanduser().resolve() / self.name
        self.log_path = self.directory / "log"
        self._record = self.directory / "process.json"
        self._keeper_record = self.directory / "keeper.json"
        self._users = FileLock(self.directory / "users.lock")
        self._alive = FileLock(self.directory / "alive.lock")
        self._user_pid: int | None = None
        self._children: list[subprocess.Popen[bytes]] = []

    @property
    @abstractmethod
    def url(self) -> str:
        """Where the server listens once it runs."""

    @property
    def account(self) -> Account:
        """The account the server runs under."""
        return account_for(self.directory)

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        process = self._process()
        return process.pid if process else None

    def is_running(self) -> bool:
        """Whether the server runs now, whoever started it."""
        return self._process() is not None

    def start(self) -> None:
        """Begin to use the server; returns when it accepts connections.

        Starts it if it does not run, also when this process started it before and it died.
        """
        self._make_directory()
        with self._gate():
            joined = self._user_pid is None
            if joined:
                self._users.share()
                self._alive.share()
                self._user_pid = os.getpid()
                atexit.register(self.stop)
            try:
                self._ensure_running()
            except BaseException:
                if joined:
                    self._leave()
                raise

    def stop(self) -> None:
        """Cease to use the server; it stops when nobody else uses it."""
        if self._user_pid == os.getpid():  # a forked child does not speak for its parent
            with self._gate():
                self._leave()

    def held_descriptors(self) -> tuple[int, ...]:
        """For ``Popen(pass_fds=)``: a child given these keeps the server alive as we do."""
        return (self._users.descriptor, self._alive.descriptor)

    def keep(self) -> None:
        """The keeper's life: wait until nobody uses the server, stop it, and end."""
        while True:
            self._alive.take()
            self._alive.release()  # before the gate: who holds the gate may be waiting for this
            with self._gate():
                if self._is_unused():
                    self._shut_down()
                    return

    # What a particular server must say.

    @abstractmethod
    def _prepare(self) -> None:
        """Create what the server needs on disk; called while it does not run."""

    @abstractmethod
    def _launch(self, log: int) -> subprocess.Popen[bytes]:
        """Start the server's process in a session of its own, its output going to ``log``."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Whether the server does its work now."""

    def _find_lost(self) -> Process | None:
        """A server that runs though no record of it was written."""
        return None

    # Starting.

    def _ensure_running(self) -> None:
        if self.is_running():
            self._wait_until_ready()
        else:
            self._prepare()
            with self._open_log() as log:
                child = self._launch(log)
            self._children.append(child)
            if process := Process.of(child.pid):
                process.save(self._record)
            try:
                self._wait_until_ready()
            except BaseException:
                self._shut_down()
                raise
        self._spawn_keeper()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._is_ready():
            if not self.is_running():
                raise self._failure("did not start")
            if time.monotonic() > deadline:
                raise self._failure(f"was not ready after {START_TIMEOUT_S:.0f} s")
            time.sleep(POLL_S)

    def _spawn_keeper(self) -> None:
        if Process.load(self._keeper_record):
            return
        with self._open_log() as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "tokenhub.stack.keeper", self.name, self.directory.parent],
                cwd=PROJECT_DIR,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._children.append(child)
        if keeper := Process.of(child.pid):
            keeper.save(self._keeper_record)

    def _dismiss_keeper(self) -> None:
        keeper = Process.load(self._keeper_record)
        if keeper and keeper.pid != os.getpid():
            keeper.signal(signal.SIGKILL)
            keeper.wait(STOP_TIMEOUT_S)
        self._keeper_record.unlink(missing_ok=True)

    # Stopping.

    def _leave(self) -> None:
        atexit.unregister(self.stop)
        self._users.release()
        try:
            if self._is_unused():
                self._shut_down()
        finally:
            self._alive.release()
            self._user_pid = None
            for child in self._children:
                if child.poll() is None:
                    child.returncode = 0  # others need it still; it is no longer ours to wait for
            self._children.clear()

    def _is_unused(self) -> bool:
        everybody = FileLock(self.directory / "users.lock")
        unused = everybody.try_take()
        everybody.release()
        return unused

    def _shut_down(self) -> None:
        if process := self._process():
            for number in self.stop_signals:
                process.signal(number)
                if process.wait(STOP_TIMEOUT_S):
                    break
        self._record.unlink(missing_ok=True)
        self._dismiss_keeper()

    # The rest.

    def _process(self) -> Process | None:
        return Process.load(self._record) or self._find_lost()

    def _make_directory(self) -> None:
        account = self.account
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        if not self.directory.exists():
            self.directory.mkdir(mode=0o700 if account.is_ours else 0o711, exist_ok=True)
            owned_by_parent(self.directory)
        open_the_way(self.directory / "x", account, self.title)

    @contextlib.contextmanager
    def _gate(self) -> Iterator[None]:
        with FileLock(self.directory / "gate.lock").held():
            yield

    @contextlib.contextmanager
    def _open_log(self) -> Iterator[int]:
        if self.log_path.exists() and self.log_path.stat().st_size > LOG_LIMIT_BYTES:
            self.log_path.replace(self.log_path.with_name("log.1"))
        descriptor = os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            owned_by_parent(self.log_path)
            yield descriptor
        finally:
            os.close(descriptor)

    def _failure(self, reason: str) -> ServiceFailedError:
        lines = self.log_path.read_text(errors="replace").splitlines()
        tail = "\n".join(lines[-LOG_TAIL_LINES:])
        return ServiceFailedError(self.title, reason, self.log_path, tail)
