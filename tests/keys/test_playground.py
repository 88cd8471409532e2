"""The playground's key: hidden, one of each organization, its secret derived and stored nowhere."""

import base64
import os
from typing import Any

import pytest
from django.core import serializers
from django.db import IntegrityError, transaction

from accounts.audit import SYSTEM
from accounts.models import AuditEvent
from accounts.services import close_organization
from keys import secrets
from keys.models import ApiKey
from keys.playground import playground_key, playground_secret
from keys.services import revoke
from tests import factories

pytestmark = pytest.mark.django_db


def test_it_is_made_once_and_its_secret_said_again() -> None:
    tenant = factories.organization()

    first, second = (playground_secret(tenant, actor=SYSTEM) for _ in range(2))

    assert first == second
    assert secrets.kind_of(first) == "inference"
    assert ApiKey.with_hidden.filter(organization=tenant).count() == 1
    [event] = AuditEvent.objects.filter(organization=tenant, action="key.created")
    assert event.after["purpose"] == "playground"
    assert first not in str(event.after)


def test_each_organization_has_another_secret() -> None:
    assert playground_secret(factories.organization(), actor=SYSTEM) != playground_secret(
        factories.organization(), actor=SYSTEM
    )


def test_the_database_does_not_hold_the_secret() -> None:
    tenant = factories.organization()
    secret = playground_secret(tenant, actor=SYSTEM)

    stored = serializers.serialize("json", [playground_key(tenant)])  # type: ignore[list-item]

    assert secret not in stored
    assert secret[4:20] not in stored


def test_no_list_and_no_count_of_keys_shows_it() -> None:
    tenant = factories.organization()
    playground_secret(tenant, actor=SYSTEM)
    hidden = playground_key(tenant)

    assert hidden is not None
    assert not ApiKey.objects.for_organization(tenant).exists()
    assert ApiKey.objects.for_organization(tenant).by_id(hidden.id) is None


def test_there_is_never_a_second_one_nor_one_of_another_kind() -> None:
    tenant = factories.organization()
    playground_secret(tenant, actor=SYSTEM)

    for kind, digest in (("inference", b"other"), ("management", b"another")):
        with pytest.raises(IntegrityError), transaction.atomic():
            ApiKey.with_hidden.create(
                organization=tenant, purpose="playground", kind=kind, name="x", digest=digest
            )


def test_once_revoked_it_is_replaced() -> None:
    tenant = factories.organization()
    before = playground_secret(tenant, actor=SYSTEM)
    key = playground_key(tenant)
    assert key is not None
    revoke(key, actor=SYSTEM)

    assert playground_secret(tenant, actor=SYSTEM) != before


def test_a_new_encryption_key_keeps_it_and_one_taken_away_replaces_it(settings: Any) -> None:
    tenant = factories.organization()
    before = playground_secret(tenant, actor=SYSTEM)
    fresh = base64.urlsafe_b64encode(os.urandom(32)).decode()

    settings.FIELD_ENCRYPTION_KEYS = [fresh, *settings.FIELD_ENCRYPTION_KEYS]
    assert playground_secret(tenant, actor=SYSTEM) == before

    settings.FIELD_ENCRYPTION_KEYS = [fresh]
    after = playground_secret(tenant, actor=SYSTEM)
    assert after != before
    assert ApiKey.with_hidden.filter(organization=tenant, revoked_at=None).count() == 1


def test_it_does_not_outlive_its_organization() -> None:
    tenant = factories.organization()
    owner = factories.member(tenant)
    playground_secret(tenant, actor=SYSTEM)

    close_organization(tenant, actor=SYSTEM)

    assert owner.pk
    assert playground_key(tenant) is None
