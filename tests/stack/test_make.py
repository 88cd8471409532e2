"""What stands around the stack: the Makefile, the lock files, the CI script."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
LOCKS = ["requirements.lock", "requirements-dev.lock"]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project's outer files, in a directory with a space, without packages."""
    directory = tmp_path / "a clone"
    (directory / "tokenhub" / "stack").mkdir(parents=True)
    for name in ("Makefile", *LOCKS, "tokenhub/stack/preflight.py"):
        shutil.copy(PROJECT / name, directory / name)
    return directory


def make(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {
        name: value for name, value in os.environ.items() if name not in ("PORT", "DATA_DIR")
    }
    return subprocess.run(
        ["make", *arguments],
        cwd=directory,
        env={**environ, "MAKEFLAGS": ""},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_place_and_hashes_everything(name: str) -> None:
    text = (PROJECT / name).read_text()

    assert "://" not in text
    assert "file:" not in text
    assert not re.search(r"^\s*--(?!hash=sha256:[0-9a-f]{64}\b)", text, re.MULTILINE)
    requirements = re.split(r"\n(?=[a-z0-9])", text, flags=re.IGNORECASE)
    assert len(requirements) > 50
    for requirement in requirements:
        assert "==" in requirement
        assert "--hash=sha256:" in requirement


def test_the_development_lock_repeats_the_runtime_lock() -> None:
    runtime, development = (
        set(re.findall(r"^\S+==\S+", (PROJECT / name).read_text(), re.MULTILINE)) for name in LOCKS
    )

    assert runtime <= development


def test_a_port_in_use_stops_make_before_it_installs(copy: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        done = make(copy, "run", f"PORT={port}", f"PYTHON={sys.executable}")

    assert done.returncode != 0
    assert f"Port {port} on 127.0.0.1 cannot be used (another program uses it)" in done.stderr
    assert not (copy / ".venv").exists()


def test_an_old_python_is_told_so(copy: Path) -> None:
    old = copy / "oldpython"
    old.write_text('#!/bin/sh\ncase "$1" in -c) echo "$2"; exit 1;; esac\n')
    old.chmod(0o755)

    done = make(copy, "run", "PYTHON=./oldpython")

    assert done.returncode != 0
    assert "TokenHub needs Python 3.11 or later" in done.stdout
    assert not (copy / ".venv").exists()


def test_a_port_that_is_no_number_is_a_sentence(copy: Path) -> None:
    done = make(copy, "preflight", "PORT=eighty", f"PYTHON={sys.executable}")

    assert "PORT must be a number, not 'eighty'." in done.stderr


def test_ci_lints_first_and_tests_last() -> None:
    script = PROJECT / ".ci" / "run"
    text = script.read_text()

    assert os.access(script, os.X_OK)
    assert "set -euo pipefail" in text
    assert text.index("make lint") < text.index("make test")
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
