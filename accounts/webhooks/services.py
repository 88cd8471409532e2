"""Writes on endpoints. A secret leaves this module once, in ``Revealed``."""

import base64
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from accounts import egress
from accounts.audit import Actor, record
from accounts.models import Organization, User
from accounts.webhooks.errors import InvalidEndpoint
from accounts.webhooks.events import KINDS, TEST
from accounts.webhooks.models import Delivery, Endpoint, Event

MAX_ENDPOINTS = 10
OFF = "This webhook is off. Switch it on first."
# After a rotation, deliveries are signed with both secrets for so long.
BOTH_FOR = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Revealed:
    """An endpoint with its new secret: the only place where the secret ever is."""

    endpoint: Endpoint
    secret: str = field(repr=False)


@transaction.atomic
def add(
    organization: Organization,
    url: str,
    *,
    events: Iterable[str] = (),
    description: str = "",
    created_by: User | None = None,
    actor: Actor,
) -> Revealed:
    """A new endpoint. Raises ``InvalidEndpoint``."""
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    if Endpoint.objects.for_organization(organization).count() >= MAX_ENDPOINTS:
        raise InvalidEndpoint("", f"An organization has at most {MAX_ENDPOINTS} webhooks.")
    secret = _new_secret()
    endpoint: Endpoint = Endpoint.objects.create(
        organization=organization, url=_checked(url), events=_known(events),
        description=_short(description), secret=secret, created_by=created_by,
    )  # fmt: skip
    record(organization, actor, "webhook.created", endpoint.id, after=_facts(endpoint))
    return Revealed(endpoint, secret)


@transaction.atomic
def change(
    endpoint: Endpoint,
    *,
    url: str,
    events: Iterable[str],
    description: str,
    enabled: bool,
    actor: Actor,
) -> Endpoint:
    """Another address, other events, on or off. Raises ``InvalidEndpoint``."""
    locked = _locked(endpoint)
    before = _facts(locked)
    locked.url = _checked(url) if url != locked.url or enabled else locked.url
    locked.events = _known(events)
    locked.description = _short(description)
    if enabled and not locked.enabled:
        locked.disabled_reason, locked.failing_since, locked.notice_due = "", None, False
    locked.enabled = enabled
    locked.save()
    if not enabled:
        cancel(locked)
    after = _facts(locked)
    if after != before:
        record(locked.organization, actor, "webhook.changed", locked.id, before=before, after=after)
    return locked


@transaction.atomic
def rotate(endpoint: Endpoint, *, actor: Actor) -> Revealed:
    """A new secret; for a day, deliveries are signed with the old one too."""
    locked = _locked(endpoint)
    secret = _new_secret()
    locked.previous_secret, locked.previous_until = locked.secret, timezone.now() + BOTH_FOR
    locked.secret = secret
    locked.save(update_fields=["secret", "previous_secret", "previous_until"])
    record(locked.organization, actor, "webhook.secret_rotated", locked.id)
    return Revealed(locked, secret)


@transaction.atomic
def remove(endpoint: Endpoint, *, actor: Actor) -> None:
    """Delete an endpoint and its delivery log."""
    found = Endpoint.objects.select_for_update().filter(pk=endpoint.pk).first()
    if found is not None:
        record(found.organization, actor, "webhook.deleted", found.id, before=_facts(found))
        found.delete()


@transaction.atomic
def send_test(endpoint: Endpoint) -> Delivery:
    """An event that means nothing, to this endpoint alone, whatever it wants.

    Raises ``InvalidEndpoint`` where the endpoint is off.
    """
    if not endpoint.enabled:
        raise InvalidEndpoint("", OFF)
    event = Event.objects.create(
        organization=endpoint.organization, kind=TEST, data={"endpoint": endpoint.id}
    )
    return Delivery.objects.create(
        organization=endpoint.organization, endpoint=endpoint, event=event
    )


@transaction.atomic
def redeliver(delivery: Delivery) -> None:
    """Try a delivery again from now, as often as a new one; under the same id, so that it counts once.

    Raises ``InvalidEndpoint`` where the endpoint is off.
    """
    endpoint = _locked(delivery.endpoint)
    if not endpoint.enabled:
        raise InvalidEndpoint("", OFF)
    locked = Delivery.objects.select_for_update().get(pk=delivery.pk)
    locked.status, locked.tries = Delivery.Status.PENDING, 0
    locked.next_try_at, locked.finished_at = timezone.now(), None
    locked.save(update_fields=["status", "tries", "next_try_at", "finished_at"])


def cancel(endpoint: Endpoint) -> None:
    """Nothing more is sent to an endpoint that is off; what waited can be asked for again."""
    Delivery.objects.filter(endpoint=endpoint, status=Delivery.Status.PENDING).update(
        status=Delivery.Status.FAILED, next_try_at=None, finished_at=timezone.now()
    )


def _locked(endpoint: Endpoint) -> Endpoint:
    """The endpoint before its deliveries, as every writer does; without keeping events from being written."""
    return (  # type: ignore[no-any-return]
        Endpoint.objects.select_for_update(no_key=True, of=("self",))
        .select_related("organization")
        .get(pk=endpoint.pk)
    )


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def _checked(url: str) -> str:
    try:
        egress.check_url(url)
    except egress.Refused as error:
        raise InvalidEndpoint("url", str(error)) from None
    return url


def _known(events: Iterable[str]) -> list[str]:
    chosen = sorted(set(events))
    for kind in chosen:
        if kind not in KINDS:
            raise InvalidEndpoint("events", f"There is no event “{kind[:60]}”.")
    return chosen


def _short(description: str) -> str:
    description = " ".join(description.split())
    if len(description) > 120:
        raise InvalidEndpoint("description", "A description has at most 120 characters.")
    return description


def _facts(endpoint: Endpoint) -> dict[str, object]:
    return {
        "url": endpoint.url,
        "events": endpoint.events,
        "description": endpoint.description,
        "enabled": endpoint.enabled,
    }
