"""Writes on API keys: mint, update, rotate, revoke. A secret leaves this module once, in ``Minted``."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from accounts.audit import Actor, record
from accounts.models import Organization, User
from keys import secrets
from keys.budgets import Budget
from keys.errors import InvalidKeyLimits, KeyNotActive
from keys.limits import Changes, cleaned, described
from keys.models import ApiKey, RetiredSecret

MAX_GRACE = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Minted:
    """A key and its new secret: the only place where the secret ever is."""

    key: ApiKey
    secret: str = field(repr=False)


@transaction.atomic
def mint(
    organization: Organization,
    name: str,
    *,
    kind: str = ApiKey.Kind.INFERENCE,
    actor: Actor,
    created_by: User | None = None,
    maker: ApiKey | None = None,
    expires_at: datetime | None = None,
    scopes: Iterable[str] = (),
    allowed_models: Iterable[str] = (),
    allowed_providers: Iterable[str] = (),
    allowed_regions: Iterable[str] = (),
    ip_allowlist: Iterable[str] = (),
    rpm: int | None = None,
    budget: Budget | None = None,
) -> Minted:
    """A new key of an organization. Empty limits mean none; ``InvalidKeyLimits`` for senseless ones.

    ``maker`` is the management key that asked for it.
    """
    chosen_scopes = list(scopes)
    if kind == ApiKey.Kind.MANAGEMENT and not chosen_scopes:
        chosen_scopes = [ApiKey.Scope.READ, ApiKey.Scope.WRITE]
    values = cleaned(
        {
            "name": name,
            "expires_at": expires_at,
            "scopes": chosen_scopes,
            "allowed_models": allowed_models,
            "allowed_providers": allowed_providers,
            "allowed_regions": allowed_regions,
            "ip_allowlist": ip_allowlist,
            "rpm": rpm,
            "budget": budget,
        }
    )
    secret = secrets.new_secret(kind)
    key = ApiKey(organization=organization, kind=kind, created_by=created_by, maker=maker, **values)
    _take(key, secret)
    key.save(force_insert=True)
    record(
        organization, actor, "key.created", key.id, after={"kind": kind, **_said(described(key))}
    )
    return Minted(key, secret)


@transaction.atomic
def update(key: ApiKey, changes: Changes, *, actor: Actor) -> ApiKey:
    """Change what a key is called and how far it reaches; holds from the next request on, everywhere.

    What is not named stays. Raises ``InvalidKeyLimits``, or ``KeyNotActive`` for a revoked key.
    """
    locked = _locked(key)
    if locked.revoked_at is not None:
        raise KeyNotActive("The key is revoked: nothing about it can be changed any more.")
    before = described(locked)
    values = cleaned(changes)
    if values.get("scopes") == [] and locked.kind == ApiKey.Kind.MANAGEMENT:
        raise InvalidKeyLimits("scopes", "A management key has at least one scope.")
    for name, value in values.items():
        setattr(locked, name, value)
    after = described(locked)
    changed = [name for name in after if after[name] != before[name]]
    if changed:
        locked.save(update_fields=list(values))
        record(
            locked.organization, actor, "key.changed", locked.id,
            before={name: before[name] for name in changed},
            after={name: after[name] for name in changed},
        )  # fmt: skip
    return locked


@transaction.atomic
def rotate(
    key: ApiKey, *, grace: timedelta, actor: Actor, rotated_by: User | None = None
) -> Minted:
    """Give a key a new secret. The one before is accepted until ``grace`` is over, and never after.

    Limits, name, budget and what was spent stay: it is the same key. Who rotates it is shown the new secret
    alone; the one before stays theirs who were shown that. Raises ``KeyNotActive``, or ``InvalidKeyLimits`` for a
    grace that is none.
    """
    if not timedelta(0) <= grace <= MAX_GRACE:
        raise InvalidKeyLimits("grace", f"The grace period is at most {MAX_GRACE.days} days.")
    locked = _locked(key)
    if not locked.is_active:
        raise KeyNotActive("The key is revoked or expired: create another one.")
    now = timezone.now()
    retired: RetiredSecret = RetiredSecret.objects.create(
        organization_id=locked.organization_id,
        key=locked,
        digest=locked.digest,
        prefix=locked.prefix,
        last4=locked.last4,
        retired_at=now,
        expires_at=now + grace,
        shown_to_id=locked.rotated_by_id or locked.created_by_id,
    )
    secret = secrets.new_secret(locked.kind)
    _take(locked, secret)
    locked.rotated_at = now
    locked.rotated_by = rotated_by
    locked.save(update_fields=["digest", "prefix", "last4", "rotated_at", "rotated_by"])
    record(
        locked.organization, actor, "key.rotated", locked.id,
        before={"key": retired.label, "accepted_until": retired.expires_at.isoformat()},
        after={"key": locked.label},
    )  # fmt: skip
    return Minted(locked, secret)


def count_for(maker: ApiKey, key: ApiKey) -> None:
    """From now on a key counts for the budget of this management key, which gave it a secret, or more to spend."""
    ApiKey.objects.filter(pk=key.pk).exclude(maker=maker).update(maker=maker)


@transaction.atomic
def end_grace(key: ApiKey, *, actor: Actor, shown_to: int | None = None) -> int:
    """Refuse what was rotated out from now on, all or what one user may have been shown.

    Returns how many were still accepted.
    """
    locked = _locked(key)
    now = timezone.now()
    accepted = locked.retired_secrets.filter(expires_at__gt=now)
    if shown_to is not None:
        accepted = accepted.filter(perhaps_shown_to(shown_to))
    ended: int = accepted.update(expires_at=now)
    if ended:
        record(locked.organization, actor, "key.grace_ended", locked.id, after={"secrets": ended})
    return ended


def perhaps_shown_to(user_id: int) -> Q:
    """Of retired secrets: what one user was shown, or may have been.

    The version before does not write down to whom. Of its secrets only a key's first is known to be its creator's.
    """
    before = RetiredSecret.objects.filter(key=OuterRef("key"), id__lt=OuterRef("id"))
    return Q(shown_to=user_id) | Q(Exists(before), shown_to=None)


@transaction.atomic
def revoke(key: ApiKey, *, actor: Actor, because: str = "") -> ApiKey:
    """Stop a key for good, with every secret it ever had, in every gateway process.

    Revoking twice is revoking once.
    """
    locked = _locked(key)
    if locked.revoked_at is None:
        locked.revoked_at = timezone.now()
        locked.save(update_fields=["revoked_at"])
        after = {"name": locked.name} | ({"because": because} if because else {})
        record(locked.organization, actor, "key.revoked", locked.id, after=after)
    return locked


def _locked(key: ApiKey) -> ApiKey:
    locked: ApiKey = (
        ApiKey.with_hidden.select_related("organization")
        .select_for_update(of=("self",))
        .get(pk=key.pk)
    )
    return locked


def _take(key: ApiKey, secret: str) -> None:
    """Remember of a secret what may be remembered."""
    key.digest = secrets.digest(secret, secrets.peppers(settings.FIELD_ENCRYPTION_KEYS)[0])
    key.prefix = secret[:8]
    key.last4 = secret[-4:]


def _said(description: dict[str, object]) -> dict[str, object]:
    """What of a description says something: limits that are none are left out."""
    return {name: value for name, value in description.items() if value not in (None, [])}
