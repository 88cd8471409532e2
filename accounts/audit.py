"""The audit trail: who did what, from where. Written in the transaction of what it records."""

from dataclasses import dataclass
from typing import Any

from accounts.models import AuditEvent, Organization, User
from accounts.webhooks.events import AUDITED, emit


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a member, a management key, staff, or the system itself."""

    kind: str
    name: str
    ip_address: str | None = None

    @classmethod
    def user(cls, user: User, ip_address: str | None = None) -> "Actor":
        """A signed-in member."""
        return cls(AuditEvent.Actor.USER, user.email, ip_address)

    @classmethod
    def key(cls, key_id: str, ip_address: str | None = None) -> "Actor":
        """A program with a management key."""
        return cls(AuditEvent.Actor.KEY, key_id, ip_address)

    @classmethod
    def staff(cls, name: str, ip_address: str | None = None) -> "Actor":
        """An operator, in the admin or at the command line."""
        return cls(AuditEvent.Actor.STAFF, name, ip_address)


SYSTEM = Actor(AuditEvent.Actor.SYSTEM, "system")


def record(
    organization: Organization,
    actor: Actor,
    action: str,
    target: str,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> AuditEvent:
    """Add an event to an organization's trail, and tell its webhooks of it where they can want to know.

    Never put a secret into ``before`` or ``after``.
    """
    event: AuditEvent = AuditEvent.objects.create(
        organization=organization,
        actor_kind=actor.kind,
        actor=actor.name,
        action=action,
        target=target,
        before=before or {},
        after=after or {},
        ip_address=actor.ip_address,
    )
    if action in AUDITED:
        emit(
            organization,
            action,
            {
                "id": target,
                "actor": {"kind": actor.kind, "name": actor.name},
                "before": event.before,
                "after": event.after,
            },
        )
    return event
