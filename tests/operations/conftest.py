"""A console and gateway whose log can be read."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import BASE_DIR, Server, eventually


class Logged(Server):
    """A server whose log goes to a file."""

    log: Path

    def start(self) -> "Logged":
        with self.log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, *self._command], env=self._environ, cwd=BASE_DIR, stderr=file, stdout=file
            )  # fmt: skip
        eventually(self._ready, within_s=60, what="being ready")
        return self


@pytest.fixture(scope="session")
def logged_site(gateway_environ: dict[str, str], tmp_path_factory: Any) -> Iterator[Logged]:
    """Console and gateway, logging everything as in production."""
    command = ["manage.py", "serve", "--role", "all", "--port", "{port}"]
    environ = {"LOG_LEVEL": "DEBUG", "LOG_FORMAT": "json", "TOKENHUB_DATABASE_POOL": "4"}
    server = Logged(command, {**gateway_environ, **environ}, "/readyz")
    server.log = tmp_path_factory.mktemp("logs") / "site.log"
    yield server.start()
    server.stop()
