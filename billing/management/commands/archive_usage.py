"""``manage.py archive_usage --month 2025-01 --to DIR``: a month's usage into a file, its sums sealed."""

from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from billing import archive
from billing.errors import MonthNotArchived
from billing.models import ArchivedMonth


class Command(BaseCommand):
    """Archive a month of usage, or check the file of one."""

    help = (
        "Archive a closed month of usage: write its rows to a file, seal their sums, drop the rows."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--month", required=True, type=_month, metavar="YYYY-MM")
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--to", type=Path, metavar="DIR", help="the folder the file goes to")
        what.add_argument(
            "--check", type=Path, metavar="FILE", help="whether this file is as it was sealed"
        )

    def handle(self, *, month: date, to: Path | None, check: Path | None, **_: Any) -> None:
        try:
            if check is not None:
                self._check(month, check)
            elif to is not None:
                file = archive.archive(month, to)
                sealed = ArchivedMonth.objects.get(month=month)
                self.stdout.write(f"{sealed} is archived in {file}, SHA-256 {sealed.digest}.")
        except MonthNotArchived as error:
            raise CommandError(str(error)) from error

    def _check(self, month: date, file: Path) -> None:
        wrong = archive.check(month, file)
        for each in wrong:
            self.stdout.write(each)
        if wrong:
            raise CommandError(f"{file} is not the file that was sealed for {month:%Y-%m}.")
        self.stdout.write(f"{file} is as it was sealed for {month:%Y-%m}.")


def _month(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC).date()
    except ValueError:
        raise ArgumentTypeError("a month such as 2025-01") from None
