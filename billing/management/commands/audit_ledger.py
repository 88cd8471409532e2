"""``manage.py audit_ledger``: proves every balance; exit 1 and the differences if any."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection, transaction

from billing.audit import CHECKS, LEDGER_CHECKS, audit
from billing.models import Transfer, Usage


class Command(BaseCommand):
    """Audit the ledger, at one moment."""

    help = "Prove every balance against the ledger, usage, leases, payments and invoices."

    def handle(self, **_: Any) -> None:
        with transaction.atomic():
            with connection.cursor() as cursor:
                # One snapshot for all checks: money moves while they run.
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            differences = audit(progress=self._progress)
            transfers, requests = Transfer.objects.count(), Usage.objects.count()
        for difference in differences:
            self.stdout.write(str(difference))
        if differences:
            raise CommandError(f"{len(differences)} differences.")
        checks = len(CHECKS) + len(LEDGER_CHECKS) + 1
        self.stdout.write(
            f"{checks} checks over {transfers:,} transfers and {requests:,} requests: no difference."
        )

    def _progress(self, done: int, total: int) -> None:
        self.stderr.write(f"{done:,} of {total:,} ledger entries")
