"""Archive a month of usage: its rows go to a file, what they came to is sealed in the database.

The ledger, the invoices and the sums by day stay as they are; ``audit_ledger`` proves an archived month
from its sealed sums. The file is JSON Lines, gzipped: one row of ``billing_usage`` a line, by id.
"""

import gzip
import hashlib
import json
import os
import tempfile
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import IO, Any

from django.db import connection, transaction
from django.db.utils import OperationalError
from django.utils import timezone
from psycopg import sql

from accounts.ids import first_uuid7
from accounts.models import Organization
from billing.audit import CHECKS
from billing.errors import MonthNotArchived
from billing.models import ArchivedMonth, ArchivedUsage
from billing.months import first_day, midnight, month_after

# How long the rows of a month stay after its end: gateways that were away are back by then, and customers have looked.
KEPT_DAYS = 90
TRIES = 60
CHUNK = 2_000
# What can be proven of single rows only while they are there.
_BY_ROW = (
    "every billed request has its one transfer, of its total",
    "the lines of a request sum to its model fee",
    "the service fee of a request is its rate, half-up",
)
# What of a month is not over, each with its number. An invoice of its charges and of what was taken back is due first.
_OPEN = {
    "charges or reversals are on no invoice yet": """
        SELECT count(*) FROM billing_transfer t
          LEFT JOIN (SELECT organization_id, max(last_sequence) AS last FROM billing_invoice
                      WHERE kind = 'invoice' GROUP BY 1) i USING (organization_id)
         WHERE t.kind IN ('usage', 'reversal') AND billing_month_of(t.reference) = %(month)s
           AND t.sequence > coalesce(i.last, 0)""",
    "tasks are still open": """
        SELECT count(*) FROM billing_mediatask WHERE finished_at IS NULL AND created_at < %(end)s""",
    "holds are still open": """
        SELECT count(*) FROM billing_lease WHERE closed_at IS NULL AND created_at < %(end)s""",
}
_CHARGED = """
SELECT organization_id, sum(CASE kind WHEN 'usage' THEN amount_nano ELSE -amount_nano END)::bigint
  FROM billing_transfer
 WHERE kind IN ('usage', 'reversal') AND billing_month_of(reference) = %s GROUP BY 1
"""


@dataclass(slots=True)
class Sums:
    """What one organization's rows came to; fees are those of billed requests."""

    requests: int = 0
    billed: int = 0
    model_fee_nano: int = 0
    service_fee_nano: int = 0

    def add(self, row: dict[str, Any]) -> None:
        """Count one row."""
        self.requests += 1
        if row["billed"]:
            self.billed += 1
            self.model_fee_nano += row["model_fee_nano"]
            self.service_fee_nano += row["service_fee_nano"]


def archive(month: date, folder: Path, *, tries: int = TRIES) -> Path:
    """Write a month to a file in ``folder``, seal its sums and drop its rows; returns the file.

    Raises ``MonthNotArchived`` where the month is not over in every respect, or usage is read all the
    time. Killed at any moment, the month is archived or is not: the file is whole and on disk before,
    and sealing and dropping are one transaction. Until that has happened, running again is safe.
    """
    with _alone():
        if reasons := refusals(month):
            raise MonthNotArchived(f"{month:%Y-%m} stays as it is: {'; '.join(reasons)}.")
        file = folder / f"usage-{month:%Y-%m}.jsonl.gz"
        _write(month, file)
        # Read back: what is dropped is what the file has.
        digest, sums = read(file)
        if disagreeing := _against_ledger(month, sums):
            raise MonthNotArchived(
                f"{month:%Y-%m} stays as it is: its charges are not those of the ledger for"
                f" {disagreeing}. Run audit_ledger."
            )
        _seal(month, digest, sums, tries)
    return file


def refusals(month: date) -> list[str]:
    """Why a month cannot be archived; empty where it can."""
    end = midnight(month_after(month))
    if end > timezone.now() - timedelta(days=KEPT_DAYS):
        return [f"it has not been over for {KEPT_DAYS} days"]
    if ArchivedMonth.objects.filter(month=month).exists():
        return ["it is archived already"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", [_partition(month)])
        if cursor.fetchone()[0] is None:
            return [f"it has no partition {_partition(month)}"]
        found = []
        for what, query in _OPEN.items():
            cursor.execute(query, {"month": month, "end": end})
            if number := cursor.fetchone()[0]:
                found.append(f"{number:,} {what}")
        span = [first_uuid7(midnight(month)), first_uuid7(end)]
        for check in _BY_ROW:
            query = CHECKS[check].replace("{a}", "a.id >= %s AND a.id < %s")
            cursor.execute(f"{query} LIMIT 1", span)
            if cursor.fetchone() is not None:
                found.append(f"audit_ledger finds a difference in “{check}”")
    return found


def check(month: date, file: Path) -> list[str]:
    """What of an archive's file is not as it was sealed; empty where it fits.

    Raises ``MonthNotArchived`` for a month that is not archived, or what cannot be read.
    """
    sealed = ArchivedMonth.objects.filter(month=month).first()
    if sealed is None:
        raise MonthNotArchived(f"{month:%Y-%m} is not archived.")
    digest, found = read(file)
    wrong = []
    if digest != sealed.digest:
        wrong.append(f"digest: expected {sealed.digest}, found {digest}")
    kept = {
        str(one.organization_id): Sums(one.requests, one.billed, one.model_fee_nano, one.service_fee_nano)
        for one in sealed.sums.all()
    }  # fmt: skip
    for tenant in sorted(kept.keys() | found.keys()):
        expected, actual = kept.get(tenant, Sums()), found.get(tenant, Sums())
        if expected != actual:
            wrong.append(
                f"organization {tenant}: expected {asdict(expected)}, found {asdict(actual)}"
            )
    return wrong


def archived_months(
    organization: Organization, since: date | None = None, until: date | None = None
) -> list[date]:
    """The months, oldest first, of which an organization's requests are archived; those that touch these days."""
    months = ArchivedUsage.objects.for_organization(organization).order_by("month")
    if since:
        months = months.filter(month__gte=first_day(since))
    if until:
        months = months.filter(month__lte=until)
    return list(months.values_list("month", flat=True))


def archived_month(organization: Organization, request_id: str) -> date | None:
    """The archived month that a request's id lies in, if the organization has one there."""
    try:
        at = uuid.UUID(hex=request_id.rpartition("_")[2]).int >> 80
        day = datetime.fromtimestamp(at / 1000, UTC).date()
    except (ValueError, OverflowError):
        return None  # no id at all, or none of ours
    return next(iter(archived_months(organization, day, day)), None)


def archived_among(request_ids: Collection[str]) -> list[str]:
    """Those of some requests' ids that lie in archived months."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT r FROM unnest(%s::text[]) r JOIN billing_archivedmonth m ON m.month = billing_month_of(r)",
            [list(request_ids)],
        )
        return [request for (request,) in cursor.fetchall()]


def read(file: Path) -> tuple[str, dict[str, Sums]]:
    """The digest of an archive's lines, and what each organization's came to."""
    digest = hashlib.sha256()
    sums: dict[str, Sums] = {}
    try:
        with gzip.open(file) as lines:
            for line in lines:
                digest.update(line)
                row = json.loads(line)
                tenant = f"org_{uuid.UUID(row['organization_id']).hex}"
                sums.setdefault(tenant, Sums()).add(row)
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise MonthNotArchived(f"{file} cannot be read: {error}") from error
    return digest.hexdigest(), sums


@contextmanager
def _alone() -> Iterator[None]:
    """One archiver at a time: two would write the same file."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtext('billing_archive_usage'))")
        if not cursor.fetchone()[0]:
            raise MonthNotArchived("Usage is being archived already.")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(hashtext('billing_archive_usage'))")


def _write(month: date, file: Path) -> None:
    """The file is there whole, and on disk, or it is not there. No other file is lost for it."""
    try:
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        try:
            with os.fdopen(handle, "wb") as raw:
                with gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed:
                    _export(month, packed)
                raw.flush()
                os.fsync(raw.fileno())
            # What a run that was killed left has the same rows. Anything else may be all there is of them.
            if file.exists() and read(file)[0] != read(Path(name))[0]:
                raise MonthNotArchived(f"{file} is there already, with other rows. Move it away.")
            os.replace(name, file)
        finally:
            Path(name).unlink(missing_ok=True)
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise MonthNotArchived(f"{file} cannot be written: {error}") from error


def _export(month: date, packed: IO[bytes] | gzip.GzipFile) -> None:
    # The partition alone is read: settling into other months and making new ones goes on.
    with transaction.atomic(), connection.chunked_cursor() as cursor:
        query = sql.SQL("SELECT row_to_json(u)::text FROM {} u ORDER BY id")
        cursor.execute(query.format(sql.Identifier(_partition(month))))
        while rows := cursor.fetchmany(CHUNK):
            packed.write("".join(f"{line}\n" for (line,) in rows).encode())


def _against_ledger(month: date, sums: dict[str, Sums]) -> str:
    """The first organization whose file and ledger disagree, or nothing."""
    with connection.cursor() as cursor:
        cursor.execute(_CHARGED, [month])
        charged = {f"org_{tenant.hex}": nano for tenant, nano in cursor.fetchall()}
    for tenant in sorted(charged.keys() | sums.keys()):
        found = sums.get(tenant, Sums())
        if charged.get(tenant, 0) != found.model_fee_nano + found.service_fee_nano:
            return tenant
    return ""


def _seal(month: date, digest: str, sums: dict[str, Sums], tries: int) -> None:
    given = [{"organization_id": tenant[4:], **asdict(each)} for tenant, each in sums.items()]
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT billing_archive_usage_month(%s, %s, %s::json, %s)",
                [month, digest, json.dumps(given), tries],
            )
    except OperationalError as error:
        state = getattr(error.__cause__, "sqlstate", None)
        if state == "55P03":
            raise MonthNotArchived(
                "Usage is being read all the time. End what reads it (a backup, an export) and try again."
            ) from error
        if state == "40001":
            raise MonthNotArchived(
                f"{month:%Y-%m} changed while it was written to the file. Try again."
            ) from error
        raise


def _partition(month: date) -> str:
    return f"billing_usage_{month:%Y%m}"
