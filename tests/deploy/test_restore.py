"""From a backup and the archive, the books come back as they were at an instant, and pass the audit."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import psycopg
import pytest

from tests.processes import BASE_DIR, eventually
from tokenhub.stack.postgres import EmbeddedPostgres, _binaries

SCRIPTS = BASE_DIR / "deploy" / "postgres"


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not pytest's own directory, whose ancestors are private: root's server runs as nobody.
    path = Path(tempfile.mkdtemp(prefix="th-restore-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


def ask(service: EmbeddedPostgres, query: str) -> str:
    with psycopg.connect(service.url, autocommit=True) as connection:
        row = connection.execute(query).fetchone()  # type: ignore[call-overload]
    return str(row[0])


def script(service: EmbeddedPostgres, name: str, *arguments: str, **environ: str) -> str:
    """Run one of the scripts as the database's account; what it printed last."""
    done = subprocess.run(
        [str(SCRIPTS / name), *arguments], check=False, capture_output=True, text=True, cwd="/",
        env={"PATH": f"{_binaries()}:{os.defpath}", **environ}, **service.account.popen_options(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


def manage(url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=BASE_DIR, env={**os.environ, "DATABASE_URL": url},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def archiving(folder: Path, archive: Path) -> EmbeddedPostgres:
    """A server with the tables, that archives as ``compose.yaml`` has it do."""
    service = EmbeddedPostgres(folder / "data")
    service.start()
    for name in ("archive", "backups"):
        (folder / name).mkdir()
        shutil.chown(folder / name, service.account.uid, service.account.gid)
    command = f"test ! -f {archive}/%f && cp %p {archive}/%f.part && mv {archive}/%f.part {archive}/%f"  # fmt: skip
    with psycopg.connect(service.url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET archive_mode = 'on'")
        connection.execute(f"ALTER SYSTEM SET archive_command = '{command}'".encode())
    service.stop()
    service.start()
    migrated = manage(service.url, "migrate", "--no-input", "-v0")
    assert migrated.returncode == 0, migrated.stderr
    return service


def spend(process: "subprocess.Popen[str]", times: int) -> None:
    """Order so many charges; ``spent`` says when they are done."""
    assert process.stdin is not None
    process.stdin.write(f"{times}\n")
    process.stdin.flush()


def spent(process: "subprocess.Popen[str]") -> int:
    out: IO[str] | None = process.stdout
    assert out is not None
    return int(out.readline())


def test_a_restore_to_an_instant_passes_the_audit(folder: Path) -> None:
    archive = folder / "archive"
    service = archiving(folder, archive)
    spender = subprocess.Popen(
        [sys.executable, "-m", "tests.deploy.spending"], cwd=BASE_DIR, text=True,
        env={**os.environ, "DATABASE_URL": service.url}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    restored = EmbeddedPostgres(folder / "restored")
    try:
        spend(spender, 30)
        assert spent(spender) == 30
        spend(spender, 60)  # while the backup is made
        backup = script(
            service, "backup.sh", DATABASE_URL=service.url, BACKUPS=str(folder / "backups"), KEEP="1"
        )  # fmt: skip
        assert spent(spender) == 90
        instant = ask(service, "SELECT clock_timestamp()")
        spend(spender, 30)  # what the restore must not bring back
        assert spent(spender) == 120
        last = ask(service, "SELECT pg_walfile_name(pg_switch_wal())")
        eventually((archive / last).exists, within_s=30, what="the archiving")
    finally:
        spender.kill()
        spender.wait()
        service.stop()
    shutil.rmtree(folder / "data")  # the disaster

    (folder / "restored" / "postgres").mkdir(parents=True)
    for path in (folder / "restored", folder / "restored" / "postgres"):
        shutil.chown(path, restored.account.uid, restored.account.gid)
    script(service, "restore.sh", backup, str(archive), instant, str(restored.cluster))
    try:
        restored.start()
        eventually(lambda: ask(restored, "SELECT pg_is_in_recovery()") == "False", within_s=30)
        charges = "SELECT count(*) FROM billing_transfer WHERE kind = 'usage'"
        proven = manage(restored.url, "audit_ledger")

        assert ask(restored, charges) == "90"
        assert proven.returncode == 0, proven.stdout + proven.stderr
        # It is a database like any other: it takes writes, and they add up.
        again = subprocess.run(
            [sys.executable, "-m", "tests.deploy.spending"], cwd=BASE_DIR, text=True, input="5\n",
            env={**os.environ, "DATABASE_URL": restored.url}, capture_output=True, check=True,
        )  # fmt: skip
        assert again.stdout.strip() == "95"
        assert manage(restored.url, "audit_ledger").returncode == 0
    finally:
        restored.stop()


def test_a_backup_that_was_damaged_is_not_restored(folder: Path) -> None:
    service = EmbeddedPostgres(folder / "data", fast=True)
    service.start()
    (folder / "backups").mkdir()
    shutil.chown(folder / "backups", service.account.uid, service.account.gid)
    made = [
        Path(script(service, "backup.sh", DATABASE_URL=service.url, BACKUPS=str(folder / "backups"), KEEP="2"))
        for _ in range(3)
    ]  # fmt: skip
    service.stop()
    kept = sorted(path for path in (folder / "backups").iterdir())
    assert kept == made[1:]
    victim = next(path for path in (kept[0] / "global").iterdir() if path.stat().st_size > 4096)
    victim.write_bytes(victim.read_bytes()[:-1] + b"?")

    refused = subprocess.run(
        [SCRIPTS / "restore.sh", kept[0], folder / "archive", "", folder / "target"],
        env={"PATH": f"{_binaries()}:{os.defpath}"}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert refused.returncode != 0
    assert not (folder / "target").exists()
