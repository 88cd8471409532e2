"""A miniature platform for the supervisor: a ``manage.py`` whose commands take a moment."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.stack.clients import DEADLINE_S, PROJECT, until
from tokenhub.stack import EmbeddedPostgres, EmbeddedRedis
from tokenhub.stack.redis import free_port

MANAGE = """
import http.server, json, os, subprocess, sys, time
from pathlib import Path

command = sys.argv[1]
pids = Path(os.environ["DATA_DIR"], "pids")
pids.mkdir(exist_ok=True)
(pids / command).write_text(str(os.getpid()))

if command == "create_demo":
    print("some words first")
    print(json.dumps({
        "demo": {"email": "d@x", "password": "p", "organization": "demo",
                 "api_key": "thk_x", "management_key": "thm_x"},
        "admin": {"email": "a@x", "password": "q"},
    }))
elif command == "serve":
    if os.environ.get("BREAK_WEB"):
        sys.exit("the web process is broken on purpose")
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"pid": os.getpid()}).encode())
    address = os.environ["HOST"], int(os.environ["PORT"])
    http.server.HTTPServer(address, Handler).serve_forever()
elif command in ("worker", "beat"):
    helper = subprocess.Popen(["sleep", "600"])
    draft = pids / f"{command}-helper.draft"
    draft.write_text(str(helper.pid))
    draft.rename(pids / f"{command}-helper")  # whole, or not there
    time.sleep(600)
elif command == "migrate":
    time.sleep(float(os.environ.get("MIGRATE_S", "0")))
"""
RUN = """
import sys
from pathlib import Path
from tokenhub.stack.supervisor import Supervisor, environment
base = Path(sys.argv[1])
sys.exit(Supervisor(environment(base), base).run())
"""


class Platform:
    """A place for a supervisor to run, and what can be seen of it from outside."""

    def __init__(self, base_dir: Path) -> None:
        self.base_dir = base_dir
        self.data_dir = base_dir / "var"
        self.port = free_port()
        self.postgres = EmbeddedPostgres(self.data_dir)
        self.redis = EmbeddedRedis(self.data_dir)

    def start(self, **environ: str) -> "Run":
        """``python -m tokenhub.stack`` on this place."""
        inherited = {name: value for name, value in os.environ.items() if name not in CLEARED}
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(self.base_dir)],
            env={
                **inherited,
                "PYTHONPATH": str(PROJECT),
                "PYTHONDONTWRITEBYTECODE": "1",
                "PORT": str(self.port),
                **environ,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        return Run(process, self.data_dir / "ready.json")

    def pid(self, name: str) -> int:
        """The process id that a child has written down, by its command."""
        path = self.data_dir / "pids" / name
        until(lambda: path.exists() and path.read_text())
        return int(path.read_text() or 0)

    def processes(self) -> list[psutil.Process]:
        """Everything that runs because of this place."""
        found = []
        for process in psutil.process_iter(["cmdline", "status"]):
            words = " ".join(process.info["cmdline"] or [])
            if str(self.base_dir) in words and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process)
        names = self.data_dir / "pids"
        for file in names.glob("*-helper") if names.exists() else ():
            if is_sleeping(int(file.read_text())):
                found.append(psutil.Process(int(file.read_text())))
        return found


class Run:
    """One run of the supervisor; its output is read as it comes."""

    def __init__(self, process: subprocess.Popen[str], ready_path: Path) -> None:
        self.process = process
        self._ready_path = ready_path
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        """What it has said so far."""
        return "".join(self._lines)

    def ready(self) -> dict[str, Any]:
        """Wait until it is ready; the contents of ``ready.json``."""
        until(lambda: "The log follows." in self.output or self.process.poll() is not None)
        assert self.process.poll() is None, self.output
        ready: dict[str, Any] = json.loads(self._ready_path.read_text())
        return ready

    def end(self, number: signal.Signals | None = None) -> int:
        """Wait for the end, after a signal if one is given; the exit code."""
        if number is not None:
            self.process.send_signal(number)
        code = self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        return code

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            self._lines.extend(iter(stream.readline, ""))


@contextmanager
def platform() -> Iterator[Platform]:
    """A miniature platform in a directory with a space; everything is gone afterwards."""
    top = Path(tempfile.mkdtemp(prefix="th"))
    top.chmod(0o711)
    base_dir = top / "a place"
    base_dir.mkdir()
    (base_dir / "manage.py").write_text(MANAGE)
    place = Platform(base_dir)
    try:
        yield place
    finally:
        for process in place.processes():
            if "tokenhub.stack.supervisor" in " ".join(process.cmdline()):
                process.send_signal(signal.SIGTERM)
        until(lambda: not place.processes())
        shutil.rmtree(top)


def is_sleeping(pid: int) -> bool:
    """Whether the helper of a child still lives."""
    try:
        process = psutil.Process(pid)
        return process.name() == "sleep" and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


CLEARED = {
    "DATABASE_URL", "REDIS_URL", "DATA_DIR", "HOST", "PORT", "DEBUG", "SECRET_KEY",
    "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "STRIPE_API_BASE",
}  # fmt: skip
