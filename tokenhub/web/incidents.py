"""Incidents: a provider that does not answer for one kind of model. They open and close by themselves.

The health of offerings decides. Each incident brings the draft of an announcement; operators publish
it, or not. The status page shows incidents either way.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.utils import timezone

from routing.models import OfferingHealth
from tokenhub.web.models import Announcement, Incident

SAME_WITHIN = timedelta(minutes=10)
"""What fails again so soon is the same incident."""
_LOCK = "tokenhub.incidents"
_DOWN = OfferingHealth.Status.DOWN


@dataclass(slots=True)
class Trouble:
    """What is down of a provider's models of one kind."""

    name: str
    regions: dict[str, str]
    """Names by slug."""
    reason: str
    down: int = 0
    offered: int = 0


@transaction.atomic
def follow() -> int:
    """Open, change and close incidents as health says; the number that changed. Safe to repeat."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [_LOCK])
    now, changed = timezone.now(), 0
    found = _troubles()
    for incident in Incident.objects.filter(closed_at=None).select_related("announcement"):
        if found.get((incident.provider, incident.modality)) is None:
            _close(incident, now)
            changed += 1
    for (provider, modality), trouble in found.items():
        changed += _open(provider, modality, trouble, now)
    return changed


def _troubles() -> dict[tuple[str, str], Trouble]:
    """By provider and modality, where at least one offering is down."""
    rows = OfferingHealth.objects.filter(
        offering__enabled=True, offering__endpoint__provider__enabled=True
    ).values_list(
        "offering__endpoint__provider__slug", "offering__endpoint__provider__name",
        "offering__model__modality", "offering__endpoint__region__slug",
        "offering__endpoint__region__name", "status", "reason",
    )  # fmt: skip
    found: dict[tuple[str, str], Trouble] = {}
    for provider, name, modality, region, region_name, status, reason in rows.order_by("pk"):
        trouble = found.setdefault((provider, modality), Trouble(name, {}, ""))
        trouble.offered += 1
        if status == _DOWN:
            trouble.down += 1
            trouble.regions[region] = region_name
            trouble.reason = trouble.reason or reason
    return {where: trouble for where, trouble in found.items() if trouble.down}


def _open(provider: str, modality: str, trouble: Trouble, now: datetime) -> bool:
    """Have an open incident that says what is down; whether anything changed."""
    mine = Incident.objects.filter(provider=provider, modality=modality)
    incident = mine.filter(closed_at=None).first()
    regions, whole = sorted(trouble.regions.values()), trouble.down == trouble.offered
    if incident is not None and (incident.regions, incident.whole) == (regions, whole):
        return False
    if incident is None:
        incident = mine.filter(closed_at__gt=now - SAME_WITHIN).first()
    if incident is None:
        incident = Incident(provider=provider, modality=modality, name=trouble.name, opened_at=now)
    # While it is open it only grows: what was affected stays said.
    incident.regions = sorted({*incident.regions, *regions})
    incident.region_slugs = sorted({*incident.region_slugs, *trouble.regions})
    incident.whole = incident.whole or whole
    incident.reason = trouble.reason or incident.reason
    before = Incident.objects.filter(pk=incident.pk).values_list("regions", "whole", "closed_at")
    if (incident.regions, incident.whole, None) in list(before):
        return False
    incident.closed_at = None
    incident.save()
    _draft(incident)
    return True


def _close(incident: Incident, now: datetime) -> None:
    incident.closed_at = now
    incident.save(update_fields=["closed_at"])
    announcement = incident.announcement
    if announcement is not None:
        announcement.body = f"{announcement.body.rstrip()}\n\n{_resolved(now)}\n"
        announcement.ends_at = now
        announcement.save()


def _draft(incident: Incident) -> None:
    """The announcement as it would be published; one that an operator published is theirs to change."""
    announcement = incident.announcement
    if announcement is None:
        announcement = incident.announcement = Announcement(
            slug=f"incident-{incident.pk}-{incident.provider}-{incident.modality}"[:80],
            severity=Announcement.Severity.INCIDENT,
        )
    if announcement.published_at is None:
        announcement.title, announcement.body = incident.title, _body(incident)
    announcement.ends_at = None
    announcement.save()
    incident.save(update_fields=["announcement"])


def _body(incident: Incident) -> str:
    where = ", ".join(incident.regions)
    return (
        f"Since {incident.opened_at:%H:%M} UTC on {incident.opened_at:%d %B %Y}, {incident.name} does not answer"
        f" {'any' if incident.whole else 'some'} {incident.modality} requests ({where}).\n\n"
        "Requests go to other providers where your boundaries allow it. Those that name this provider, or may"
        " go nowhere else, fail; a failed request is never billed.\n"
    )


def _resolved(at: datetime) -> str:
    return f"**Resolved** at {at:%H:%M} UTC on {at:%d %B %Y}."
