"""What a deployment can get wrong, found by ``manage.py check --deploy`` (and so by the container's start).

Django finds what is wrong with Django; these find what is wrong with TokenHub. What would be dangerous
at once is refused by the settings themselves.
"""

import ipaddress
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004

MIN_METRICS_TOKEN = 16


def _is_local(host: str) -> bool:
    if host in ("localhost", "testserver") or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@register(Tags.security, deploy=True)
def addresses(app_configs: Any, **_: Any) -> Iterable[CheckMessage]:
    """The address by which people come."""
    public = urlsplit(settings.PUBLIC_URL)
    if public.scheme != "https":
        yield Error(
            "PUBLIC_URL does not begin with https://.",
            hint="Links in mails, payment pages and the documentation are made from it.",
            id="tokenhub.E001",
        )
    if _is_local(public.hostname or ""):
        yield Error(
            "PUBLIC_URL is an address of this machine.",
            hint="Set it to the address people use, such as https://tokenhub.example.",
            id="tokenhub.E002",
        )
    if "*" in settings.ALLOWED_HOSTS or any(
        host.startswith(".") for host in settings.ALLOWED_HOSTS
    ):
        yield Error(
            "ALLOWED_HOSTS admits hosts that are not named.",
            hint="Name each host: mails and redirects are made with what a client calls it.",
            id="tokenhub.E003",
        )
    elif public.hostname and public.hostname not in settings.ALLOWED_HOSTS:
        yield Error(
            "The host of PUBLIC_URL is not in ALLOWED_HOSTS: every page would be a 400.",
            id="tokenhub.E004",
        )


@register(Tags.security, deploy=True)
def secrets(app_configs: Any, **_: Any) -> Iterable[CheckMessage]:
    """What must be secret, and strong."""
    for number, key in enumerate(settings.FIELD_ENCRYPTION_KEYS, 1):
        try:
            Fernet(key)
        except ValueError:
            yield Error(
                f"Key {number} of FIELD_ENCRYPTION_KEYS is no Fernet key.",
                hint="Make one with cryptography.fernet.Fernet.generate_key(); docs/operations.md shows how.",
                id="tokenhub.E005",
            )
    if settings.SECRET_KEY in settings.FIELD_ENCRYPTION_KEYS:
        yield Error(
            "SECRET_KEY is also a key of FIELD_ENCRYPTION_KEYS.",
            hint="One signs, the other encrypts: whoever gets one must not have both.",
            id="tokenhub.E006",
        )
    token = str(getattr(settings, "METRICS_TOKEN", ""))
    if not token:
        yield Warning(
            "METRICS_TOKEN is not set: /metrics answers this machine only.",
            hint="Set it to a long random value, and give it to the scraper as a bearer token.",
            id="tokenhub.W001",
        )
    elif len(token) < MIN_METRICS_TOKEN:
        yield Error(
            f"METRICS_TOKEN has fewer than {MIN_METRICS_TOKEN} characters.", id="tokenhub.E007"
        )


@register(Tags.security, deploy=True)
def surroundings(app_configs: Any, **_: Any) -> Iterable[CheckMessage]:
    """What production needs and development does not."""
    if settings.DEBUG:
        yield Error(
            "DEBUG is on.",
            hint="It shows settings and source to whoever meets an error, and sends mail nowhere.",
            id="tokenhub.E008",
        )
    if not settings.REDIS_URL:
        yield Error(
            "REDIS_URL is not set.",
            hint="Without it each process counts sign-in attempts for itself, and no job is done.",
            id="tokenhub.E009",
        )
    if settings.EGRESS_ALLOW_LOOPBACK:
        yield Error(
            "TOKENHUB_EGRESS_LOOPBACK lets webhooks and providers lead to this machine.",
            id="tokenhub.E010",
        )
    if settings.DEMO:
        yield Error("TOKENHUB_DEMO is on: its passwords are well known.", id="tokenhub.E011")
    if not settings.ADMIN_REQUIRES_MFA:
        yield Error(
            "ADMIN_REQUIRES_MFA is off: a password alone opens the admin.", id="tokenhub.E013"
        )
    if not settings.EMAIL_URL:
        yield Error(
            "EMAIL_URL is not set: nobody can verify an address or reset a password.",
            hint="Set it to the outgoing mail server, such as smtp+tls://user:password@host:587.",
            id="tokenhub.E012",
        )
    for name in ("DEFAULT_FROM_EMAIL", "CONTACT_EMAIL"):
        if "@tokenhub.example" in getattr(settings, name):
            yield Warning(
                f"{name} is not set: its mail goes by an address that is nobody's.",
                hint="Set it to an address of yours; .env.example says what for.",
                id="tokenhub.W004",
            )
    if not settings.STRIPE_SECRET_KEY:
        yield Warning(
            "STRIPE_SECRET_KEY is not set: nobody can top up.",
            hint="Operators' credits work without it.",
            id="tokenhub.W002",
        )
    if not settings.SENTRY_DSN:
        yield Warning(
            "SENTRY_DSN is not set: errors are in the log alone.",
            hint="That is a choice; silence this with SILENCED_SYSTEM_CHECKS=tokenhub.W003.",
            id="tokenhub.W003",
        )
