"""``manage.py rotate_encryption``: everything that is encrypted at rest, under the first of the keys."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.rotation import columns, encrypt_anew, stale


class Command(BaseCommand):
    """Encrypt anew what earlier keys encrypted; with ``--check`` only say what there is."""

    help = "Encrypt with the first of FIELD_ENCRYPTION_KEYS what the others encrypted."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="change nothing; fail if anything is left"
        )

    def handle(self, *, check: bool, **_: Any) -> None:
        left = 0
        for column in columns():
            if check:
                count = len(stale(column))
                left += count
                self.stdout.write(f"{column}: {count} under an earlier key")
            else:
                self.stdout.write(f"{column}: {encrypt_anew(column)} encrypted anew")
        if left:
            raise CommandError(f"{left} values need an earlier key. Run it without --check.")
