"""What customers can be told of, and ``emit``, which writes it in the transaction of what happened."""

from typing import Any

from django.utils import timezone

from accounts.models import Organization
from accounts.webhooks.models import Delivery, Endpoint, Event

TEST = "webhook.test"

# Kind → what it says, for people. The audit trail's actions of the same name are told by themselves.
KINDS = {
    "balance.low": "The balance fell below the low-balance mark.",
    "topup.succeeded": "A top-up was paid and credited.",
    "topup.failed": "A top-up failed; nothing was charged.",
    "invoice.issued": "A month was invoiced, or an invoice was corrected by a credit note.",
    "budget.threshold": "50 % or 80 % of a budget is spent.",
    "budget.exceeded": "A budget is spent.",
    "key.created": "An API key was created.",
    "key.rotated": "An API key was replaced by a new one.",
    "key.revoked": "An API key was revoked.",
    "member.invited": "Somebody was invited.",
    "member.joined": "Somebody accepted an invitation.",
    "member.role_changed": "A member has another role.",
    "member.left": "A member left.",
    "member.removed": "A member was removed.",
    "video.task.succeeded": "A video is ready.",
    "video.task.failed": "A video task failed; nothing was charged.",
    "announcement.published": "We announced something: an incident, maintenance, news.",
}
AUDITED = frozenset(kind for kind in KINDS if kind.startswith(("key.", "member.")))


def emit(
    organization: Organization, kind: str, data: dict[str, Any], *, reference: str = ""
) -> Event | None:
    """Tell every endpoint of an organization that wants to know; ``None`` where none does.

    Call it in the transaction of what happened: told is what was committed, and nothing else. With
    a ``reference``, telling the same again is telling it once. ``data`` is JSON, and never a secret.
    """
    assert kind in KINDS, kind
    endpoints = list(Endpoint.objects.for_organization(organization).wanting(kind))
    if not endpoints:
        return None
    now = timezone.now()
    fields = {"data": data, "created_at": now}
    if reference:
        event, is_new = Event.objects.get_or_create(
            organization=organization, kind=kind, reference=reference[:120], defaults=fields
        )
        if not is_new:
            return event
    else:
        event = Event.objects.create(organization=organization, kind=kind, **fields)
    Delivery.objects.bulk_create(
        Delivery(organization=organization, endpoint=endpoint, event=event, next_try_at=now)
        for endpoint in endpoints
    )
    return event


def organizations_wanting(kind: str) -> list[Organization]:
    """Whoever has an endpoint for events of a kind, for those that are not of one organization."""
    wanting = Endpoint.objects.all().wanting(kind).values("organization_id")
    open_ones = Organization.objects.exclude(status=Organization.Status.CLOSED)
    return list(open_ones.filter(pk__in=wanting).order_by("pk"))


def payload(event: Event) -> dict[str, Any]:
    """The body of a delivery."""
    return {
        "id": event.id,
        "type": event.kind,
        "timestamp": event.created_at.isoformat().replace("+00:00", "Z"),
        "organization": event.organization_id,
        "data": event.data,
    }
