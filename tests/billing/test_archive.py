"""A month of usage is archived whole or not at all, and stays provable without its rows."""

import gzip
import io
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from structlog.testing import capture_logs

from accounts.ids import uuid7
from accounts.models import Organization
from billing import archive, services
from billing.audit import audit
from billing.errors import MonthNotArchived
from billing.invoices import close_due
from billing.invoices.requests import requests_csv
from billing.media import End, finish
from billing.models import ArchivedMonth, ArchivedUsage, Invoice, Transfer, Usage, UsageDay
from tests import factories
from tests.conftest import database_url
from tests.processes import eventually

CREDIT = 1_000_000_000
LATER = timedelta(days=40)


SUCCESS = End(
    "succeeded", units={"video_second_720p": 5}, model_fee_nano=500_000_000, service_fee_nano=15_000_000,
    lines=[{"unit": "video_second_720p", "count": 5, "price": 100_000_000, "fee": 500_000_000}],
)  # fmt: skip


@pytest.fixture
def old() -> date:
    """A month of long ago that no other test has; it has its partition."""
    month = date(2001, 1, 1)
    _add(month)
    return month


def _add(month: date) -> None:
    _run("SELECT billing_add_usage_month(%s, 1000)", _at(month, 1))


def _run(statement: str, *arguments: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments)
        return cursor.fetchall() if cursor.description else []


def _manage(month: date, *arguments: Any) -> str:
    """What the command says."""
    out = io.StringIO()
    call_command("archive_usage", "--month", f"{month:%Y-%m}", *map(str, arguments), stdout=out)
    return out.getvalue()


def _lines(file: Path) -> bytes:
    return gzip.decompress(file.read_bytes())


def _at(month: date, day: int = 15) -> datetime:
    return datetime(month.year, month.month, day, tzinfo=UTC)


def _charge(tenant: Organization, month: date, fee_nano: int = 1_000) -> str:
    """A charge whose request was made in ``month``."""
    return factories.charge(tenant, fee_nano, id=_id(month), created_at=_at(month).isoformat())


def _id(month: date) -> uuid.UUID:
    """An id of that month."""
    at_ms = int(_at(month).timestamp() * 1000)
    return uuid.UUID(int=at_ms << 80 | uuid7().int & (1 << 80) - 1)


def _closed(month: date) -> tuple[Organization, list[str]]:
    """An organization with two charges, one of them taken back, all on invoices."""
    tenant = factories.organization(credit_nano=CREDIT)
    requests = [_charge(tenant, month, 1_000), _charge(tenant, month, 20_000)]
    services.take_back(requests[:1], reason="not_delivered")
    close_due(timezone.now() + LATER)
    return tenant, requests


@pytest.mark.django_db
def test_the_rows_are_in_the_file_and_the_ledger_stays_proven(old: date, tmp_path: Path) -> None:
    tenant, requests = _closed(old)
    assert audit(tenant) == []
    transfers = Transfer.objects.for_organization(tenant).count()

    said = _manage(old, "--to", tmp_path)

    file = tmp_path / "usage-2001-01.jsonl.gz"
    rows = [json.loads(line) for line in _lines(file).splitlines()]
    assert {f"req_{uuid.UUID(row['id']).hex}" for row in rows} == set(requests)
    assert _run("SELECT to_regclass('billing_usage_200101')") == [(None,)]
    assert not Usage.objects.for_organization(tenant).exists()
    sealed = ArchivedUsage.objects.for_organization(tenant).get()
    assert (sealed.requests, sealed.billed) == (2, 1)
    assert (sealed.model_fee_nano, sealed.service_fee_nano) == (20_000, 600)
    assert ArchivedMonth.objects.get(month=old).digest in said
    assert list(tmp_path.iterdir()) == [file]
    assert audit(tenant) == []
    assert audit() == []
    assert Transfer.objects.for_organization(tenant).count() == transfers
    assert sum(day.requests for day in UsageDay.objects.for_organization(tenant)) == 2
    _manage(old, "--check", file)


@pytest.mark.django_db
def test_the_audit_finds_a_sealed_sum_that_is_not_the_ledgers(old: date, tmp_path: Path) -> None:
    tenant, _ = _closed(old)
    archive.archive(old, tmp_path)
    _run("SET LOCAL session_replication_role = replica")
    _run("UPDATE billing_archivedusage SET model_fee_nano = model_fee_nano - 1")

    found = {difference.check for difference in audit(tenant)}

    assert "an archived month = what the ledger charged for it" in found


@pytest.mark.django_db
@pytest.mark.parametrize("table", ["billing_archivedmonth", "billing_archivedusage"])
def test_what_is_sealed_never_changes(table: str, old: date, tmp_path: Path) -> None:
    _closed(old)
    archive.archive(old, tmp_path)

    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        _run(f"DELETE FROM {table}")


@pytest.mark.django_db
def test_a_file_that_was_changed_is_found(old: date, tmp_path: Path) -> None:
    tenant, _ = _closed(old)
    file = archive.archive(old, tmp_path)
    lines = _lines(file)
    assert archive.check(old, file) == []

    file.write_bytes(gzip.compress(lines))  # packed anew: the same rows
    assert archive.check(old, file) == []
    file.write_bytes(gzip.compress(lines.replace(b'"provider":"p"', b'"provider":"q"', 1)))
    assert [each.split(":")[0] for each in archive.check(old, file)] == ["digest"]
    file.write_bytes(gzip.compress(lines.splitlines(keepends=True)[0]))
    assert any(tenant.id in each for each in archive.check(old, file))
    with pytest.raises(CommandError, match="not the file that was sealed"):
        _manage(old, "--check", file)
    file.write_bytes(gzip.compress(lines)[:-9])
    with pytest.raises(MonthNotArchived, match="cannot be read"):
        archive.check(old, file)


@pytest.mark.django_db
def test_a_file_with_other_rows_is_not_overwritten_and_one_with_the_same_is(
    old: date, tmp_path: Path
) -> None:
    _closed(old)
    file = tmp_path / "usage-2001-01.jsonl.gz"
    others = gzip.compress(b'{"organization_id":"%s","billed":false}\n' % uuid.uuid4().hex.encode())
    file.write_bytes(others)

    with pytest.raises(MonthNotArchived, match="Move it away"):
        archive.archive(old, tmp_path)

    assert [file.read_bytes()] == [each.read_bytes() for each in tmp_path.iterdir()] == [others]
    assert not ArchivedMonth.objects.filter(month=old).exists()
    file.unlink()
    archive._write(old, file)  # and killed
    archive.archive(old, tmp_path)
    assert archive.check(old, file) == []


@pytest.mark.django_db
def test_a_folder_that_cannot_be_written_is_said(old: date, tmp_path: Path) -> None:
    _closed(old)

    with pytest.raises(CommandError, match="cannot be written"):
        _manage(old, "--to", tmp_path / "missing")


@pytest.mark.django_db
def test_an_invoice_still_lists_all_its_charges(old: date, tmp_path: Path) -> None:
    tenant, requests = _closed(old)
    invoice = Invoice.objects.for_organization(tenant).get(kind="invoice")
    before = "".join(requests_csv(invoice)).splitlines()

    archive.archive(old, tmp_path)

    after = "".join(requests_csv(invoice)).splitlines()
    assert len(after) == len(before) == 2
    assert after[1].startswith(requests[1])
    assert "archived" in after[1]
    assert after[1].split(",")[-1] == before[1].split(",")[-1] == "0.0000206"


@pytest.mark.django_db
@pytest.mark.parametrize("why", ["young", "no invoice", "no partition", "twice", "ledger", "task", "hold"])  # fmt: skip
def test_a_month_that_is_not_over_in_every_respect_is_refused(
    why: str, old: date, tmp_path: Path
) -> None:
    month, said = old, {
        "young": "90 days", "no invoice": "1 charges or reversals are on no invoice", "no partition": "no partition",
        "twice": "archived already", "ledger": "audit_ledger", "task": "1 tasks", "hold": "1 holds",
    }[why]  # fmt: skip
    tenant, requests = _closed(old)
    if why == "young":
        month = timezone.now().date().replace(day=1)
    elif why == "no invoice":
        services.take_back(requests[1:], reason="not_delivered")
    elif why == "no partition":
        month = date(2001, 2, 1)
    elif why == "twice":
        archive.archive(old, tmp_path)
    elif why == "ledger":
        factories.usage(tenant, created_at=_at(old))
    elif why == "task":
        factories.media_task(tenant, created_at=_at(old).isoformat())
    else:
        _run("SELECT billing_draw_lease(%s, %s, 'test', 5, 5, 30)", uuid.uuid4(), tenant.id[4:])
        _run("UPDATE billing_lease SET created_at = %s WHERE closed_at IS NULL", _at(old))
    sealed = ArchivedMonth.objects.count()

    with pytest.raises(CommandError, match=said):
        _manage(month, "--to", tmp_path)

    assert ArchivedMonth.objects.count() == sealed


@pytest.mark.django_db
def test_what_changes_while_the_file_is_written_stays(
    old: date, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant, requests = _closed(old)
    against_ledger = archive._against_ledger

    def meanwhile(*arguments: Any) -> str:
        found = against_ledger(*arguments)
        services.take_back(requests[1:], reason="not_delivered")
        return found

    monkeypatch.setattr(archive, "_against_ledger", meanwhile)

    with pytest.raises(MonthNotArchived, match="changed while"):
        archive.archive(old, tmp_path)

    assert Usage.objects.for_organization(tenant).count() == 2
    assert not ArchivedMonth.objects.filter(month=old).exists()
    assert audit(tenant) == []


@pytest.mark.django_db
def test_what_is_settled_into_an_archived_month_later_is_charged_and_proven(
    old: date, tmp_path: Path
) -> None:
    tenant, _ = _closed(old)
    archive.archive(old, tmp_path)

    late = _charge(tenant, old)

    assert Usage.objects.for_organization(tenant).get().id == late
    assert audit(tenant) == []


@pytest.mark.django_db
def test_an_archived_charge_is_not_taken_back(old: date, tmp_path: Path) -> None:
    tenant, requests = _closed(old)
    archive.archive(old, tmp_path)

    with capture_logs() as said:
        assert services.take_back(requests, reason="not_delivered") == 0

    assert [line["event"] for line in said] == ["already_archived"]
    assert sorted(said[0]["requests"]) == sorted(requests)
    assert audit(tenant) == []


@pytest.mark.django_db
def test_the_charge_of_an_archived_video_is_proven_by_its_transfer(
    old: date, tmp_path: Path
) -> None:
    tenant, _ = _closed(old)
    task = factories.media_task(tenant, id=_id(old), created_at=_at(old).isoformat())
    finish(task, End("failed", error_code="providers_failed"))
    paid = factories.media_task(tenant, id=_id(old), created_at=_at(old).isoformat())
    finish(paid, SUCCESS)
    close_due(timezone.now() + 2 * LATER)
    assert audit(tenant) == []

    archive.archive(old, tmp_path)

    assert audit(tenant) == []
    _run("SET LOCAL session_replication_role = replica")
    _run("UPDATE billing_mediatask SET total_nano = total_nano - 1 WHERE status = 'succeeded'")
    found = {difference.check for difference in audit(tenant)}
    assert found == {"a task that succeeded has its one charge, any other none"}


@pytest.fixture
def lasting(committed: None) -> Iterator[date]:
    """An empty month that other connections see; it is gone after the test."""
    month = date(2001, 3, 1)
    _add(month)
    yield month
    _run("DROP TABLE IF EXISTS billing_usage_200103")
    _run("SET session_replication_role = replica")
    _run("DELETE FROM billing_archivedmonth WHERE month = %s", month)
    _run("SET session_replication_role = origin")


def _is_archived(month: date) -> bool:
    """Sealed and dropped; never the one without the other."""
    sealed = ArchivedMonth.objects.filter(month=month).exists()
    assert _run("SELECT to_regclass(%s) IS NULL", f"billing_usage_{month:%Y%m}") == [(sealed,)]
    return sealed


def _command(month: date, folder: Path) -> subprocess.Popen[bytes]:
    """The command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "manage.py", "archive_usage", "--month", f"{month:%Y-%m}", "--to", str(folder)],
        env={**os.environ, "DATABASE_URL": database_url()},
    )  # fmt: skip


def _sealing() -> bool:
    return bool(
        _run(
            "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT billing_archive_usage_month%%'"
            " AND state = 'active' AND datname = current_database()"
        )
    )


def test_charges_go_on_while_it_waits_for_a_reader(lasting: date, tmp_path: Path) -> None:
    tenant = factories.organization(credit_nano=CREDIT)

    with psycopg.connect(database_url()) as reader:  # a backup, or a long export
        reader.execute("SELECT count(*) FROM billing_usage")
        command = _command(lasting, tmp_path)
        eventually(_sealing, what="sealing")
        _run("SELECT set_config('lock_timeout', '1s', false)")
        for _ in range(200):
            factories.charge(tenant, 1_000)  # refused if it had to wait for the reader
        _run("SELECT set_config('lock_timeout', '0', false)")
        assert command.poll() is None
        assert not _is_archived(lasting)

    assert command.wait(30) == 0
    assert _is_archived(lasting)
    assert audit(tenant) == []


def test_it_gives_up_where_somebody_reads_all_the_time(lasting: date, tmp_path: Path) -> None:
    with psycopg.connect(database_url()) as reader:
        reader.execute("SELECT count(*) FROM billing_usage")
        with pytest.raises(MonthNotArchived, match="being read"):
            archive.archive(lasting, tmp_path, tries=1)

    assert not _is_archived(lasting)


def test_killed_while_it_seals_nothing_has_happened_and_it_runs_again(
    lasting: date, tmp_path: Path
) -> None:
    with psycopg.connect(database_url()) as reader:
        reader.execute("SELECT count(*) FROM billing_usage")
        command = _command(lasting, tmp_path)
        eventually(_sealing, what="sealing")
        command.kill()
        command.wait()
    eventually(lambda: not _sealing(), what="the session of the killed one is over")

    assert not _is_archived(lasting)
    archive.archive(lasting, tmp_path)
    assert _is_archived(lasting)
