"""The playground's key: one of each organization, hidden, whose secret nobody is ever shown.

It is a key like any other to the gateway, so that a call from the playground is limited, billed and
logged like any other. Its secret is stored nowhere: it is derived from the row's id and the settings'
``FIELD_ENCRYPTION_KEYS`` whenever the console calls (decision 9).
"""

import hmac

from django.conf import settings
from django.db import transaction

from accounts.audit import Actor, record
from accounts.ids import PrefixedIdField
from accounts.models import Organization
from keys import secrets
from keys.models import ApiKey
from keys.services import revoke

NAME = "Playground"


def playground_key(organization: Organization) -> ApiKey | None:
    """The key, if the playground was ever used."""
    found: ApiKey | None = (
        ApiKey.with_hidden.for_organization(organization)
        .filter(purpose=ApiKey.Purpose.PLAYGROUND, revoked_at=None)
        .first()
    )
    return found


def playground_secret(organization: Organization, *, actor: Actor) -> str:
    """The secret to call with; the key is made at first use, which the audit trail records.

    A key made under an encryption key that is no longer configured is revoked and replaced.
    """
    key = playground_key(organization)
    secret = _secret_of(key) if key is not None else None
    return secret or _replace(organization, actor)


def _secret_of(key: ApiKey) -> str | None:
    for encryption_key in settings.FIELD_ENCRYPTION_KEYS:
        secret = secrets.derived_secret(key.kind, key.id, encryption_key)
        for pepper in secrets.peppers(settings.FIELD_ENCRYPTION_KEYS):
            if hmac.compare_digest(secrets.digest(secret, pepper), bytes(key.digest)):
                return secret
    return None


@transaction.atomic
def _replace(organization: Organization, actor: Actor) -> str:
    # Two members may begin at once: the second finds what the first has made.
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    key = playground_key(organization)
    secret = _secret_of(key) if key is not None else None
    if secret is not None:
        return secret
    if key is not None:
        revoke(key, actor=actor, because="its encryption key is no longer configured")
    field = ApiKey._meta.pk
    assert isinstance(field, PrefixedIdField)
    key_id = field.new()
    secret = secrets.derived_secret("inference", key_id, settings.FIELD_ENCRYPTION_KEYS[0])
    made = ApiKey.with_hidden.create(
        id=key_id,
        organization=organization,
        purpose=ApiKey.Purpose.PLAYGROUND,
        name=NAME,
        digest=secrets.digest(secret, secrets.peppers(settings.FIELD_ENCRYPTION_KEYS)[0]),
        prefix=secret[:8],
        last4=secret[-4:],
    )
    after = {"kind": made.kind, "purpose": made.purpose, "name": NAME}
    record(organization, actor, "key.created", made.id, after=after)
    return secret
