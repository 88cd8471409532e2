"""A small deployment of real processes, any of which can be killed and started again."""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg

from tests.live import JSON, Providers
from tests.processes import BASE_DIR, Server, eventually
from tokenhub.stack.postgres import EmbeddedPostgres
from tokenhub.stack.redis import EmbeddedRedis

# A machine that is busy with other tests takes its time.
WITHIN_S = 120.0
DEADLINE_S = 12
"""Of a video: a provider that was killed has forgotten its tasks, which then end here."""

SERVERS = {
    "gateway-1": (["manage.py", "serve", "--role", "gateway", "--port", "{port}"], "/readyz"),
    "gateway-2": (["manage.py", "serve", "--role", "gateway", "--port", "{port}"], "/readyz"),
    "web": (["manage.py", "serve", "--role", "web", "--port", "{port}"], "/healthz"),
    "providers": (["-m", "tokenhub.stack.providers", "--port", "{port}"], "/_control/"),
}
JOBS = {"worker-1": "worker", "worker-2": "worker", "beat": "beat"}
SERVICES = ("postgres", "redis")
EVERYTHING = (*SERVERS, *JOBS, *SERVICES)


@dataclass
class Deployment:
    """Two gateways, a web process, two workers, the scheduler, the providers, PostgreSQL and Redis."""

    folder: Path = field(default_factory=lambda: _folder())
    servers: dict[str, Server] = field(default_factory=dict)
    jobs: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    received: dict[str, JSON] = field(default_factory=dict)
    """What providers that were killed had received, by the call's id."""
    unseen: list[tuple[float, float]] = field(default_factory=list)
    """From when to when calls may have completed at a provider whose record died with it."""

    def __post_init__(self) -> None:
        self._postgres = EmbeddedPostgres(self.folder / "data", fast=True)
        self._redis = EmbeddedRedis(self.folder / "data")
        self._environ = {
            "DEBUG": "1",
            "SECRET_KEY": "chaos-only-" + "x" * 50,
            "FIELD_ENCRYPTION_KEYS": base64.urlsafe_b64encode(os.urandom(32)).decode(),
            "LOG_LEVEL": "ERROR",
            "DATABASE_URL": self._postgres.url,
            "REDIS_URL": self._redis.url,
            "DATA_DIR": str(self.folder / "var"),
            "TOKENHUB_LEASE_TTL_S": "3",
            "TOKENHUB_PLAIN_TIMEOUT_S": "10",
            "TOKENHUB_STREAM_TIMEOUT_S": "10",
            "TOKENHUB_TASK_POLL_S": "0.3",
            "TOKENHUB_TASK_DEADLINE_S": str(DEADLINE_S),
        }

    @property
    def gateways(self) -> list[str]:
        """Where clients call."""
        return [self.servers[name].url for name in ("gateway-1", "gateway-2")]

    def start(self) -> JSON:
        """Everything; who calls, and with which key."""
        (self.folder / "var").mkdir()
        self._postgres.start()
        self._redis.start()
        self.servers["providers"] = self._server("providers").start()
        assert self.run("migrate", "--no-input", "-v0").wait(WITHIN_S) == 0
        caller = self.help("tests.deploy.world", self.servers["providers"].url)
        for name in JOBS:
            self.restart(name)
        for name in ("gateway-1", "gateway-2", "web"):
            self.servers[name] = self._server(name).start()
        made: JSON = json.loads(caller)
        return made

    def stop(self) -> None:
        """End everything and forget it."""
        for server in self.servers.values():
            server.stop()
        for process in self.jobs.values():
            process.kill()
            process.wait()
        self._redis.stop()
        self._postgres.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, *command: str) -> "subprocess.Popen[bytes]":
        """A management command."""
        return subprocess.Popen(
            [sys.executable, "manage.py", *command], cwd=BASE_DIR, env={**os.environ, **self._environ}
        )  # fmt: skip

    def help(self, module: str, *arguments: str) -> str:
        """What a module of the tests prints, run at this database."""
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments], cwd=BASE_DIR, check=True,
            env={**os.environ, **self._environ}, capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout

    def ask(self, query: str, *values: object) -> list[Any]:
        """The rows of a query."""
        with psycopg.connect(self._postgres.url) as connection:
            return list(connection.execute(query, values))  # type: ignore[call-overload]

    # one process

    def kill(self, name: str) -> None:
        """``kill -9``."""
        if name == "providers":
            self._keep_record()
        if name in SERVERS:
            self.servers[name].kill()
        elif name in JOBS:
            self.jobs[name].kill()
            self.jobs[name].wait()
        else:
            service = self._service(name)
            assert service.pid is not None
            os.kill(service.pid, signal.SIGKILL)
            eventually(lambda: not service.is_running(), what=f"{name}'s end")
        if name == "providers":
            self.unseen[-1] = (self.unseen[-1][0], time.time())

    def restart(self, name: str) -> None:
        """Start it again; a server is waited for until it serves."""
        if name in SERVERS:
            self.servers[name].start()
        elif name in JOBS:
            self.jobs[name] = self.run(JOBS[name])
        else:
            self._service(name).start()

    def pause(self, name: str) -> None:
        """A service of ours is there and says nothing: its connections stay open, and more are accepted."""
        self._signal(name, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """It goes on where it was."""
        self._signal(name, signal.SIGCONT)

    def calls(self) -> list[JSON]:
        """Every call that a provider recorded, also those that were killed since."""
        for call in Providers(self.servers["providers"].url).calls():
            self.received[call["id"]] = call
        return list(self.received.values())

    def _keep_record(self) -> None:
        began = time.time()
        self.calls()
        self.unseen.append((began, began))

    def _signal(self, name: str, number: int) -> None:
        first = psutil.Process(self._service(name).pid)
        for process in (first, *first.children(recursive=True)):
            process.send_signal(number)

    def _server(self, name: str) -> Server:
        command, ready = SERVERS[name]
        return Server(command, self._environ, ready, ready_within_s=WITHIN_S)

    def _service(self, name: str) -> EmbeddedPostgres | EmbeddedRedis:
        return self._postgres if name == "postgres" else self._redis


def _folder() -> Path:
    # Not pytest's own directory, whose ancestors are private: root's servers run as nobody.
    folder = Path(tempfile.mkdtemp(prefix="th-chaos-"))
    folder.chmod(0o711)
    return folder
