"""Rotating the key that encrypts at rest: nothing is lost, and the old key is needed no more."""

from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import (
    TOTP,
    format_hotp_value,
    generate_totp_secret,
    hotp_value,
    yield_hotp_counters_from_time,
)
from cryptography.fernet import Fernet, InvalidToken
from django.core.management import CommandError, call_command
from django.db import connection

from accounts.rotation import columns, encrypt_anew, stale
from routing.models import Endpoint, Provider, Region
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def endpoint() -> Endpoint:
    region, _ = Region.objects.get_or_create(slug="eu", defaults={"name": "European Union"})
    provider = Provider.objects.create(slug="rotated", name="Rotated")
    made: Endpoint = Endpoint.objects.create(
        provider=provider, region=region, dialect="openai", base_url="https://api.example.com", credential="sk-secret"
    )  # fmt: skip
    return made


def stored(endpoint: Endpoint) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT credential FROM routing_endpoint WHERE id = %s", [endpoint.pk])
        return str(cursor.fetchone()[0])


def test_every_encrypted_column_is_known() -> None:
    assert {str(column) for column in columns()} >= {"routing.Endpoint.credential"}


def test_after_the_rotation_the_old_key_is_needed_no_more(
    endpoint: Endpoint, settings: Any
) -> None:
    [old] = settings.FIELD_ENCRYPTION_KEYS
    new = Fernet.generate_key().decode()
    settings.FIELD_ENCRYPTION_KEYS = [new, old]
    assert Endpoint.objects.get(pk=endpoint.pk).credential == "sk-secret"
    with pytest.raises(CommandError, match=r"\d+ values need an earlier key"):
        call_command("rotate_encryption", check=True)

    call_command("rotate_encryption")
    call_command("rotate_encryption", check=True)

    settings.FIELD_ENCRYPTION_KEYS = [new]
    assert Endpoint.objects.get(pk=endpoint.pk).credential == "sk-secret"
    assert "sk-secret" not in stored(endpoint)
    with pytest.raises(InvalidToken):
        Fernet(old).decrypt(stored(endpoint).encode())


@pytest.mark.parametrize("encrypted_before", [True, False])
def test_second_factors_go_along_and_still_sign_in(settings: Any, encrypted_before: bool) -> None:
    [old] = settings.FIELD_ENCRYPTION_KEYS
    person = factories.user()
    secret = generate_totp_secret()
    factor = TOTP.activate(person, secret).instance
    codes = RecoveryCodes.activate(person)
    unused = codes.get_unused_codes()
    assert secret not in str(factor.data)
    if not encrypted_before:
        Authenticator.objects.filter(pk=factor.pk).update(data={"secret": secret})
    new = Fernet.generate_key().decode()
    settings.FIELD_ENCRYPTION_KEYS = [new, old]

    call_command("rotate_encryption")
    call_command("rotate_encryption", check=True)

    settings.FIELD_ENCRYPTION_KEYS = [new]
    kept = Authenticator.objects.get(pk=factor.pk)
    assert secret not in str(kept.data)
    assert TOTP(kept).validate_code(code_of(secret))
    codes.instance.refresh_from_db()
    assert codes.get_unused_codes() == unused


def code_of(secret: str) -> str:
    """What the person's telephone shows."""
    counter = next(yield_hotp_counters_from_time())
    return str(format_hotp_value(hotp_value(secret, counter)))


def test_what_is_under_the_current_key_is_left_alone(endpoint: Endpoint) -> None:
    before = stored(endpoint)

    changed = {str(column): encrypt_anew(column) for column in columns()}

    assert set(changed.values()) == {0}
    assert stored(endpoint) == before


def test_an_empty_value_needs_no_key(endpoint: Endpoint, settings: Any) -> None:
    Endpoint.objects.update(credential="")
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]

    assert [found for column in columns() for found in stale(column)] == []


def test_a_value_that_no_key_reads_is_said_and_not_lost(endpoint: Endpoint, settings: Any) -> None:
    before = stored(endpoint)
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]

    with pytest.raises(InvalidToken):
        call_command("rotate_encryption")

    assert stored(endpoint) == before
