"""``manage.py grant_credit ORG USD --reason TEXT``: an operator's credit, through the ledger."""

import uuid
from argparse import ArgumentParser
from getpass import getuser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.audit import Actor
from accounts.models import Organization
from billing.errors import BillingError
from billing.money import nano_from_usd, usd_from_nano
from billing.services import grant_credit


class Command(BaseCommand):
    """Grant a credit from the command line."""

    help = "Credit an organization's balance in USD, with a reason."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("organization", metavar="ORG", help="slug or org_… id")
        parser.add_argument("usd", metavar="USD", help="an amount such as 25 or 0.5")
        parser.add_argument(
            "--reason", required=True, help="kept in the ledger and the audit trail"
        )

    def handle(self, *, organization: str, usd: str, reason: str, **_: Any) -> None:
        found = Organization.objects.by_slug_or_id(organization)
        if found is None:
            raise CommandError(f"There is no organization “{organization}”.")
        try:
            transfer = grant_credit(
                found,
                nano_from_usd(usd),
                reason=reason,
                reference=f"credit:{uuid.uuid4().hex}",
                actor=Actor.staff(getuser()),
            )
        except (BillingError, ValueError) as error:
            raise CommandError(str(error)) from error
        balance = usd_from_nano(transfer.balance_after_nano)
        self.stdout.write(f"{found.slug}: {usd} USD credited, the balance is {balance} USD")
