"""``manage.py create_demo``: the demonstration catalogue, organization and people of ``make run``; idempotent.

The last line on stdout is one JSON object with what a person needs to begin. Its keys are minted
anew each time, and those of earlier times are revoked.
"""

import json
from argparse import ArgumentParser
from typing import Any

from allauth.account.models import EmailAddress
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts.audit import SYSTEM
from accounts.models import Membership, Organization, User
from accounts.roles import Role
from billing.models import ENTERPRISE, Transfer
from billing.plans import put_on_plan, terms_of
from billing.services import grant_credit, open_accounts
from keys.models import ApiKey
from keys.services import mint, revoke
from routing.seed.load import load_demo_catalogue

DEMO_EMAIL, DEMO_PASSWORD = "demo@tokenhub.example", "demo-tokenhub"
ADMIN_EMAIL, ADMIN_PASSWORD = "admin@tokenhub.example", "admin-tokenhub"
DEMO_CREDIT_NANO = 100 * 1_000_000_000
KEY_NAMES = {ApiKey.Kind.INFERENCE: "Demo key", ApiKey.Kind.MANAGEMENT: "Demo management key"}


class Command(BaseCommand):
    """Seed the embedded stack."""

    help = "Create or refresh the demonstration catalogue, organization and sign-ins."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--providers-url", default=settings.SIMULATED_PROVIDERS_URL)

    @transaction.atomic
    def handle(self, *, providers_url: str, **_: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("The demonstration has well-known passwords; it needs DEBUG=1.")
        if not providers_url:
            raise CommandError("Say where the simulated providers are: --providers-url URL.")
        load_demo_catalogue(providers_url.rstrip("/"))
        person = _person(DEMO_EMAIL, DEMO_PASSWORD, name="Demo")
        _person(ADMIN_EMAIL, ADMIN_PASSWORD, name="Operator", is_staff=True, is_superuser=True)
        organization, _created = Organization.objects.get_or_create(
            slug="demo", defaults={"name": "Demo"}
        )
        Membership.objects.get_or_create(
            organization=organization, user=person, defaults={"role": Role.OWNER}
        )
        open_accounts(organization)
        if terms_of(organization).plan.slug != ENTERPRISE:
            put_on_plan(organization, ENTERPRISE, actor=SYSTEM, note="Demonstration")
        _grant_credit_once(organization)
        secrets = {kind: _fresh_key(organization, person, kind) for kind in KEY_NAMES}
        self.stdout.write(
            json.dumps(
                {
                    "demo": {
                        "email": DEMO_EMAIL,
                        "password": DEMO_PASSWORD,
                        "organization": organization.slug,
                        "api_key": secrets[ApiKey.Kind.INFERENCE],
                        "management_key": secrets[ApiKey.Kind.MANAGEMENT],
                    },
                    "admin": {"email": ADMIN_EMAIL, "password": ADMIN_PASSWORD},
                }
            )
        )


def _grant_credit_once(organization: Organization) -> None:
    """The credit a demonstration begins with; its reference makes a second time harmless."""
    if not Transfer.objects.for_organization(organization).filter(reference="credit:demo").exists():
        grant_credit(
            organization,
            DEMO_CREDIT_NANO,
            reason="Demonstration credit",
            reference="credit:demo",
            actor=SYSTEM,
        )


def _person(email: str, password: str, **extra: Any) -> User:
    user = User.objects.filter(email=email).first()
    if user is None:
        user = User.objects.create_user(email, password, **extra)
    EmailAddress.objects.get_or_create(
        user=user, email=email, defaults={"verified": True, "primary": True}
    )
    return user


def _fresh_key(organization: Organization, person: User, kind: ApiKey.Kind) -> str:
    earlier = ApiKey.objects.for_organization(organization).filter(
        name=KEY_NAMES[kind], revoked_at=None
    )
    for key in earlier:
        revoke(key, actor=SYSTEM)
    return mint(
        organization, KEY_NAMES[kind], kind=kind, actor=SYSTEM, created_by=person,
        scopes=["read", "write", "billing"] if kind == ApiKey.Kind.MANAGEMENT else [],
    ).secret  # fmt: skip
