"""``manage.py mint_key ORG NAME``: a new key's secret, once, alone on stdout."""

from argparse import ArgumentParser
from getpass import getuser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.audit import Actor
from accounts.models import Organization
from keys.errors import ApiKeyError
from keys.models import ApiKey
from keys.services import mint


class Command(BaseCommand):
    """Mint an API key from the command line."""

    help = "Mint an API key for an organization and print its secret, once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("organization", metavar="ORG", help="slug or org_… id")
        parser.add_argument("name", metavar="NAME", help="what the key is for")
        parser.add_argument("--kind", choices=ApiKey.Kind.values, default=ApiKey.Kind.INFERENCE)
        parser.add_argument(
            "--scope", dest="scopes", action="append", default=[], metavar="SCOPE",
            help=f"of a management key, may be repeated: {', '.join(ApiKey.Scope.values)};"
            " without, read and write",
        )  # fmt: skip

    def handle(
        self, *, organization: str, name: str, kind: str, scopes: list[str], **_: Any
    ) -> None:
        if scopes and kind != ApiKey.Kind.MANAGEMENT:
            raise CommandError("Only a key of the kind management has scopes.")
        found = Organization.objects.by_slug_or_id(organization)
        if found is None:
            raise CommandError(f"There is no organization “{organization}”.")
        try:
            minted = mint(found, name, kind=kind, scopes=scopes, actor=Actor.staff(getuser()))
        except ApiKeyError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(minted.secret)
