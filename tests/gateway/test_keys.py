"""Who may call: keys that are valid, keys that are not, and keys that stop being so."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from accounts.audit import SYSTEM
from accounts.members import remove
from accounts.models import Membership, Organization
from keys.models import ApiKey
from keys.secrets import new_secret
from keys.services import end_grace, revoke, rotate
from tests import factories
from tests.conftest import new_gateway
from tests.live import Gateway
from tests.processes import eventually


def test_a_revoked_key_stops_working_in_every_process(
    gateway: Gateway, gateway_environ: dict[str, str]
) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000)
    minted = factories.key(tenant)
    second = new_gateway(gateway_environ).start()
    try:
        other = Gateway(second.url, gateway.providers)
        assert gateway.chat(minted.secret).status_code == 200
        assert other.chat(minted.secret).status_code == 200

        revoke(minted.key, actor=SYSTEM)

        for process in (gateway, other):
            eventually(lambda p=process: p.chat(minted.secret).status_code == 401, within_s=1)
    finally:
        second.stop()


@pytest.fixture
def both(gateway: Gateway, gateway_environ: dict[str, str]) -> Iterator[list[Gateway]]:
    """Two gateway processes."""
    second = new_gateway(gateway_environ).start()
    yield [gateway, Gateway(second.url, gateway.providers)]
    second.stop()


def status(process: Gateway, secret: str) -> int:
    return process.chat(secret).status_code


def test_both_secrets_of_a_rotated_key_work_until_the_grace_ends(both: list[Gateway]) -> None:
    minted = factories.key(factories.organization(credit_nano=1_000_000_000))
    assert [status(process, minted.secret) for process in both] == [200, 200]

    rotated = rotate(minted.key, grace=timedelta(seconds=3), actor=SYSTEM)

    for process in both:
        eventually(lambda p=process: status(p, rotated.secret) == 200, within_s=1)
        assert status(process, minted.secret) == 200
    for process in both:
        eventually(lambda p=process: status(p, minted.secret) == 401, within_s=8)
        assert status(process, rotated.secret) == 200


def test_without_grace_the_old_secret_is_refused_within_a_second(both: list[Gateway]) -> None:
    minted = factories.key(factories.organization(credit_nano=1_000_000_000))
    assert [status(process, minted.secret) for process in both] == [200, 200]

    rotated = rotate(minted.key, grace=timedelta(0), actor=SYSTEM)

    for process in both:
        eventually(lambda p=process: status(p, minted.secret) == 401, within_s=1)
        eventually(lambda p=process: status(p, rotated.secret) == 200, within_s=1)


def test_a_grace_that_is_ended_early_ends_within_a_second(both: list[Gateway]) -> None:
    minted = factories.key(factories.organization(credit_nano=1_000_000_000))
    rotated = rotate(minted.key, grace=timedelta(days=1), actor=SYSTEM)
    assert [status(process, minted.secret) for process in both] == [200, 200]

    end_grace(minted.key, actor=SYSTEM)

    for process in both:
        eventually(lambda p=process: status(p, minted.secret) == 401, within_s=1)
        assert status(process, rotated.secret) == 200


def test_revoking_a_rotated_key_stops_each_of_its_secrets(both: list[Gateway]) -> None:
    minted = factories.key(factories.organization(credit_nano=1_000_000_000))
    rotated = rotate(minted.key, grace=timedelta(days=1), actor=SYSTEM)
    for process in both:
        assert [status(process, minted.secret), status(process, rotated.secret)] == [200, 200]

    revoke(minted.key, actor=SYSTEM)

    for process in both:
        for secret in (minted.secret, rotated.secret):
            eventually(lambda p=process, s=secret: status(p, s) == 401, within_s=1)


def test_the_secret_of_who_leaves_is_refused_within_a_second(both: list[Gateway]) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000)
    owner, leaver = factories.member(tenant), factories.member(tenant)
    minted = factories.key(tenant, created_by=owner)
    shown = rotate(minted.key, grace=timedelta(0), actor=SYSTEM, rotated_by=leaver).secret
    kept = rotate(minted.key, grace=timedelta(days=30), actor=SYSTEM, rotated_by=owner).secret
    for process in both:
        eventually(lambda p=process: status(p, shown) == 200, within_s=1)

    remove(Membership.objects.get(organization=tenant, user=leaver), by=owner, actor=SYSTEM)

    for process in both:
        eventually(lambda p=process: status(p, shown) == 401, within_s=1)
        assert status(process, kept) == 200


def test_a_key_revoked_by_sql_alone_stops_working_too(gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000)
    minted = factories.key(tenant)
    assert gateway.chat(minted.secret).status_code == 200

    ApiKey.objects.filter(id=minted.key.id).update(revoked_at="2026-01-01T00:00:00Z")

    eventually(lambda: gateway.chat(minted.secret).status_code == 401, within_s=1)


@pytest.mark.parametrize("mend", ["", "nonsense", "thk_short", "flip", "cut", "unknown", "ünicode"])
def test_what_is_no_key_is_refused(gateway: Gateway, mend: str) -> None:
    secret = factories.key(factories.organization()).secret
    presented = {
        "flip": secret[:-1] + ("A" if secret[-1] != "A" else "B"),
        "cut": secret[:-1],
        "unknown": new_secret("inference"),
    }.get(mend, mend)

    response = gateway.http.post(
        f"{gateway.url}/v1/chat/completions",
        headers=[(b"authorization", f"Bearer {presented}".strip().encode())],
        json={},
    )

    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_api_key"
    assert secret[:12] not in response.text


def test_a_management_key_cannot_call(gateway: Gateway) -> None:
    secret = factories.key(factories.organization(), kind="management").secret

    response = gateway.chat(secret)

    assert (response.status_code, response.json()["error"]["code"]) == (403, "insufficient_scope")


def test_the_other_header_works_as_well(gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000)

    response = gateway.http.post(
        f"{gateway.url}/v1/chat/completions/",
        headers={"x-api-key": factories.key(tenant).secret},
        json={"model": "deepseek-v3.2", "messages": [{"role": "user", "content": "Hello"}]},
    )

    assert response.status_code == 200


def test_a_key_for_other_addresses_is_refused(gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000)

    refused = gateway.chat(factories.key(tenant, ip_allowlist=["203.0.113.0/24"]).secret)
    let_in = gateway.chat(factories.key(tenant, ip_allowlist=["127.0.0.0/8"]).secret)

    assert refused.status_code == 403
    assert let_in.status_code == 200


def test_the_last_use_of_a_key_is_on_record(gateway: Gateway) -> None:
    minted = factories.key(factories.organization(credit_nano=1_000_000_000))
    gateway.chat(minted.secret)

    eventually(lambda: ApiKey.objects.get(id=minted.key.id).last_used_at, within_s=5)

    assert gateway.chat(minted.secret).status_code == 200


def test_a_suspended_organization_is_refused_within_a_second(gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000)
    secret = factories.key(tenant).secret
    assert gateway.chat(secret).status_code == 200

    Organization.objects.filter(id=tenant.id).update(status="suspended")

    eventually(lambda: gateway.chat(secret).status_code == 403, within_s=1)


def test_a_key_of_its_own_limit_is_told_when_to_come_back(gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000)
    secret = factories.key(tenant, rpm=2).secret

    answers = [gateway.chat(secret) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].headers["x-ratelimit-limit-requests"] == "2"
    assert answers[0].headers["x-ratelimit-remaining-requests"] == "1"
    assert int(answers[2].headers["retry-after"]) <= 31
