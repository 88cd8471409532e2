"""A key's secret: 256 random bits, recognisable, and nowhere but in the one answer that reveals it."""

import json

import pytest
from django.core import serializers
from django.test import Client

from accounts.models import AuditEvent
from keys import secrets
from keys.models import ApiKey
from tests import factories


def test_a_secret_is_recognised_by_its_checksum() -> None:
    secret = secrets.new_secret("inference")

    assert secret.startswith("thk_")
    assert len(secret) == secrets.LENGTH
    assert secrets.kind_of(secret) == "inference"
    assert secrets.kind_of(secrets.new_secret("management")) == "management"


def test_a_single_wrong_character_is_noticed() -> None:
    secret = secrets.new_secret("inference")

    for place in range(len(secret)):
        wrong = "B" if secret[place] == "A" else "A"
        assert secrets.kind_of(secret[:place] + wrong + secret[place + 1 :]) is None


def test_the_digest_is_keyed() -> None:
    first, second = secrets.peppers(["one", "two"])

    assert secrets.digest("thk_x", first) != secrets.digest("thk_x", second)


@pytest.mark.django_db
def test_the_secret_is_in_no_row_no_trail_and_no_page(client: Client) -> None:
    tenant = factories.organization()
    minted = factories.key(tenant)
    client.force_login(factories.user(is_staff=True, is_superuser=True))

    stored = serializers.serialize("json", [ApiKey.objects.get(id=minted.key.id)])
    trail = json.dumps(
        list(AuditEvent.objects.filter(organization=tenant).values("after")), default=str
    )

    body = minted.secret[8:-4]
    assert body not in stored
    assert body not in trail
    assert body not in repr(minted)
