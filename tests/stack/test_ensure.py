"""What a process environment holds after ``ensure``."""

import json
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from tokenhub import stack
from tokenhub.stack import secrets


@pytest.fixture
def data_dir() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="th"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


def test_what_is_configured_is_not_embedded(data_dir: Path) -> None:
    environ = {"DATABASE_URL": "postgres://elsewhere/x", "REDIS_URL": "redis://elsewhere"}

    stack.ensure(data_dir, environ)

    assert environ["DATABASE_URL"] == "postgres://elsewhere/x"
    assert list(data_dir.iterdir()) == []


def test_urls_are_known_without_a_start(data_dir: Path) -> None:
    first: dict[str, str] = {}
    second: dict[str, str] = {}

    stack.ensure(data_dir, first, start=False)
    stack.ensure(data_dir, second, start=False)

    assert first == second
    assert set(first) == {"DATABASE_URL", "REDIS_URL"}
    assert not stack.EmbeddedPostgres(data_dir).is_running()
    assert not stack.EmbeddedRedis(data_dir).is_running()


def test_development_secrets_are_made_once_and_kept_private(data_dir: Path) -> None:
    first: dict[str, str] = {}
    second = {"SECRET_KEY": "mine"}

    secrets.ensure(data_dir, first)
    secrets.ensure(data_dir, second)

    assert second == {"SECRET_KEY": "mine", "FIELD_ENCRYPTION_KEYS": first["FIELD_ENCRYPTION_KEYS"]}
    assert len(first["SECRET_KEY"]) >= 50
    for key in first["FIELD_ENCRYPTION_KEYS"].split(","):
        Fernet(key)
    path = data_dir / "secrets.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text()) == first
