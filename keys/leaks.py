"""A key that somebody found where it should not be: revoked at once, whoever brings it."""

from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.audit import SYSTEM, Actor, record
from keys import secrets
from keys.models import ApiKey, RetiredSecret
from keys.services import revoke

FOUND = "found in public and reported"


@dataclass(frozen=True, slots=True)
class Leak:
    """What a reported secret was of. Only its owner is told; whoever reported it is not."""

    key: ApiKey
    label: str


@transaction.atomic
def report(secret: str, *, ip_address: str | None) -> Leak | None:
    """Stop what a secret opens; ``None`` where it opens nothing any more, or never did.

    The present secret of a key takes the key with it. One that was rotated out is only refused from now on: the
    key has another by now, which is nobody's but its owner's. What has a wrong checksum is looked up nowhere.
    """
    text = secret.strip()
    if secrets.kind_of(text) is None:
        return None
    digests = [
        secrets.digest(text, pepper) for pepper in secrets.peppers(settings.FIELD_ENCRYPTION_KEYS)
    ]
    # Both are asked, whatever the first says: a report costs the same for every well-formed secret.
    key: ApiKey | None = (
        ApiKey.objects.select_related("organization").filter(digest__in=digests).first()
    )
    retired: RetiredSecret | None = (
        RetiredSecret.objects.select_related("key__organization").filter(digest__in=digests).first()
    )
    actor = Actor(SYSTEM.kind, "key leak page", ip_address)
    if key is not None and key.revoked_at is None:
        return Leak(revoke(key, actor=actor, because=FOUND), key.label)
    if retired is not None and retired.is_accepted and retired.key.revoked_at is None:
        RetiredSecret.objects.filter(pk=retired.pk).update(expires_at=timezone.now())
        record(
            retired.key.organization, actor, "key.grace_ended", retired.key.id,
            after={"key": retired.label, "because": FOUND},
        )  # fmt: skip
        return Leak(retired.key, retired.label)
    return None
