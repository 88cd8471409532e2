"""Other processes that use the embedded stack, as this machine's root or as an ordinary user."""

import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tokenhub.stack.service import EmbeddedService

PROJECT = Path(__file__).resolve().parents[2]
DEADLINE_S = 30.0

SCRIPT = """
import sys
from pathlib import Path
from tokenhub.stack.postgres import EmbeddedPostgres
from tokenhub.stack.redis import EmbeddedRedis

services = {"postgres": lambda path: EmbeddedPostgres(path, fast=True), "redis": EmbeddedRedis}
service = services[sys.argv[1]](Path(sys.argv[2]))
service.start()
print(service.url, flush=True)
sys.stdin.read()
"""


@contextmanager
def client(name: str, data_dir: Path, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that uses a service until its stdin closes; it is ready when this returns."""
    command = [options.pop("python", sys.executable), "-c", SCRIPT, name, str(data_dir)]
    environ = {**os.environ, "PYTHONPATH": str(PROJECT), **options.pop("environ", {})}
    process = subprocess.Popen(
        command,
        cwd="/",
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    with process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url, process.stderr and process.stderr.read()
            yield process
        finally:
            process.kill()


def leave(process: subprocess.Popen[str]) -> None:
    """End a client in good order."""
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(DEADLINE_S) == 0, process.stderr and process.stderr.read()


def is_gone(service: EmbeddedService) -> bool:
    """Whether the server has ended and its keeper has nothing left to do."""
    return not service.is_running() and not (service.directory / "keeper.json").exists()


def until(condition: Callable[[], object]) -> None:
    """Wait for a condition, as briefly as possible."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


@contextmanager
def ordinary_user() -> Iterator[tuple[Path, dict[str, Any]]]:
    """A directory of ``nobody``'s, and the options of a ``client`` that runs as ``nobody``."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    python = reachable_python()
    if python is None:
        pytest.skip("no interpreter that another user can run")
    entry = pwd.getpwnam("nobody")
    directory = Path(tempfile.mkdtemp(prefix="th"))
    os.chown(directory, entry.pw_uid, entry.pw_gid)
    packages = sysconfig.get_paths()["purelib"]
    if python != sys.executable:
        # redis-py needs it before Python 3.11.3; these packages are those of a later one.
        (directory / "async_timeout.py").write_text("from asyncio import timeout")
    try:
        yield (
            directory,
            {
                "python": python,
                "user": entry.pw_uid,
                "group": entry.pw_gid,
                "extra_groups": [],
                "environ": {
                    "PYTHONPATH": f"{PROJECT}:{packages}:{directory}",
                    "HOME": str(directory),
                    "PYTHONDONTWRITEBYTECODE": "1",
                },
            },
        )
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def reachable_python() -> str | None:
    """This interpreter, or the machine's of the same version, if ``nobody`` can run it."""
    entry = pwd.getpwnam("nobody")
    code = f"import sys; sys.path.insert(0, {sysconfig.get_paths()['purelib']!r}); import psycopg"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/python{version}", f"/usr/local/bin/python{version}"):
        try:
            subprocess.run(
                [python, "-c", code],
                check=True,
                cwd="/",
                capture_output=True,
                user=entry.pw_uid,
                group=entry.pw_gid,
                extra_groups=[],
            )
        except (OSError, subprocess.CalledProcessError):
            continue
        return python
    return None
