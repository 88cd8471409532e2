"""The ledger's own promises: PostgreSQL refuses what must not happen, whoever asks."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.models import Organization
from billing import services
from billing.audit import audit
from billing.errors import InsufficientBalance, InvalidAmount, ReferenceReused
from billing.models import Account, Dispute, Lease, Transfer, Usage
from billing.money import MAX_NANO, nano_from_usd, service_fee_nano, usd_from_nano
from billing.selectors import balance_of
from tests import factories

pytestmark = pytest.mark.django_db


def credit(tenant: Organization, amount_nano: int, reference: str = "") -> Transfer:
    return services.post(
        tenant, "credit", debit="credit", credit="wallet", amount_nano=amount_nano,
        reference=reference or uuid.uuid4().hex,
    )  # fmt: skip


def charge(tenant: Organization, amount_nano: int, reference: str = "") -> Transfer:
    return services.post(
        tenant, "usage", debit="wallet", credit="revenue", amount_nano=amount_nano,
        reference=reference or uuid.uuid4().hex,
    )  # fmt: skip


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE billing_transfer SET amount_nano = 1",
        "DELETE FROM billing_transfer",
        "TRUNCATE billing_transfer",
        "UPDATE billing_account SET balance_nano = 5",
        "UPDATE billing_account SET leased_nano = 0, sequence = 9",
        "DELETE FROM billing_account",
        "UPDATE billing_usage SET total_nano = 0, model_fee_nano = 0, service_fee_nano = 0",
        "UPDATE billing_usage SET billed = false, status = 'failed', model = 'x'",
        "DELETE FROM billing_usage",
        "UPDATE accounts_auditevent SET actor = 'x'",
        "DELETE FROM accounts_auditevent",
    ],
)
def test_history_cannot_be_rewritten_by_sql(statement: str) -> None:
    tenant = factories.organization(credit_nano=1_000)
    charge(tenant, 10)
    factories.usage(tenant)

    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_a_wallet_never_goes_below_zero() -> None:
    tenant = factories.organization(credit_nano=100)

    with pytest.raises(InsufficientBalance):
        charge(tenant, 101)
    with pytest.raises(IntegrityError), transaction.atomic():
        Transfer.objects.create(
            organization=tenant, kind="usage", debit_account="wallet", credit_account="revenue",
            amount_nano=101, balance_after_nano=-1, sequence=2, reference="x",
        )  # fmt: skip


@pytest.mark.parametrize(("sequence", "balance"), [(3, 110), (1, 110), (2, 111)])
def test_a_transfer_must_continue_its_wallet(sequence: int, balance: int) -> None:
    tenant = factories.organization(credit_nano=100)

    with pytest.raises(IntegrityError), transaction.atomic():
        Transfer.objects.create(
            organization=tenant, kind="top_up", debit_account="funding", credit_account="wallet",
            amount_nano=10, balance_after_nano=balance, sequence=sequence, reference="x",
        )  # fmt: skip


def test_applying_a_reference_twice_is_applying_it_once() -> None:
    tenant = factories.organization()

    first, second = credit(tenant, 500, "ref"), credit(tenant, 500, "ref")

    assert first.pk == second.pk
    assert balance_of(tenant).balance_nano == 500
    with pytest.raises(ReferenceReused):
        credit(tenant, 501, "ref")


@pytest.mark.parametrize("amount", [0, -1, MAX_NANO + 1])
def test_an_amount_that_cannot_be_moved_is_refused(amount: int) -> None:
    with pytest.raises(InvalidAmount):
        credit(factories.organization(), amount)


def test_the_largest_and_the_smallest_amount_are_exact() -> None:
    tenant = factories.organization()
    credit(tenant, MAX_NANO - 1)
    credit(tenant, 1)

    assert balance_of(tenant).balance_nano == MAX_NANO
    with pytest.raises(InvalidAmount):
        credit(tenant, 1)
    assert audit(tenant) == []


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 1_000)), max_size=12))
def test_any_sequence_of_transfers_adds_up(moves: list[tuple[bool, int]]) -> None:
    tenant = factories.organization()
    expected = 0
    for incoming, amount in moves:
        if incoming:
            credit(tenant, amount)
            expected += amount
        elif amount <= expected:
            charge(tenant, amount)
            expected -= amount
        else:
            with pytest.raises(InsufficientBalance):
                charge(tenant, amount)

    assert balance_of(tenant).balance_nano == expected
    assert sum(a.balance_nano for a in Account.objects.filter(organization=tenant)) == 0
    # The tenants of these examples have charges without usage, which the audit must say.
    assert {d.check for d in audit(tenant)} <= {"charges less reversals = billed requests"}


# leases


def draw(tenant: Organization, lease: uuid.UUID, need: int, want: int, ttl_s: float = 30) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT granted, available, elsewhere FROM billing_draw_lease(%s, %s, 'test', %s, %s, %s)",
            [lease, tenant.id.removeprefix("org_"), need, want, ttl_s],
        )
        return cursor.fetchone()


def test_a_lease_takes_what_is_needed_but_leaves_most_to_others() -> None:
    tenant = factories.organization(credit_nano=1_000)

    assert draw(tenant, uuid.uuid4(), 10, 900) == (250, 750, 0)
    assert draw(tenant, uuid.uuid4(), 700, 700) == (700, 50, 250)
    assert draw(tenant, uuid.uuid4(), 51, 51)[0] == 0
    assert balance_of(tenant).on_hold_nano == 950


def test_an_expired_lease_returns_by_itself() -> None:
    tenant = factories.organization(credit_nano=1_000)
    draw(tenant, uuid.uuid4(), 900, 900, ttl_s=-1)

    assert draw(tenant, uuid.uuid4(), 1_000, 1_000)[0] == 1_000
    Lease.objects.filter(organization=tenant, closed_at=None).update(
        expires_at=timezone.now() - timedelta(seconds=1)
    )
    services.reap_leases()
    assert balance_of(tenant).on_hold_nano == 0
    assert audit(tenant) == []


def test_a_closed_lease_cannot_be_drawn_from_or_reopened() -> None:
    tenant = factories.organization(credit_nano=1_000)
    lease = uuid.uuid4()
    draw(tenant, lease, 10, 10)
    Lease.objects.filter(id=f"lease_{lease.hex}").update(closed_at=timezone.now())

    assert draw(tenant, lease, 10, 10)[0] == -1
    with pytest.raises(DatabaseError), transaction.atomic():
        Lease.objects.filter(id=f"lease_{lease.hex}").update(closed_at=None)


# the group commit


def settle(tenant: Organization, group: uuid.UUID, *results: dict[str, Any]) -> list[uuid.UUID]:
    import json

    base = {
        "organization_id": tenant.id.removeprefix("org_"), "key_id": str(uuid.uuid4()), "key_name": "k",
        "created_at": timezone.now().isoformat(), "status": "succeeded", "billed": True, "error_code": "",
        "dialect": "openai", "modality": "text", "model_requested": "m", "model": "m", "provider": "p",
        "region": "eu", "stream": False, "units": {"input": 1}, "lines": [{"unit": "input", "count": 1, "price": 1, "fee": 100}],
        "model_fee_nano": 100, "service_fee_nano": 3, "service_fee_bps": 300, "capped": False,
        "price_version": 1, "attempts": [], "routing": {}, "latency_ms": 1, "session_id": "",
    }  # fmt: skip
    with connection.cursor() as cursor:
        payload = json.dumps([{**base, **result} for result in results])
        cursor.execute("SELECT billing_settle(%s, %s::json)", [group, payload])
        refused: list[uuid.UUID] = cursor.fetchone()[0]
        return refused


def test_the_same_group_twice_is_one_group() -> None:
    tenant = factories.organization(credit_nano=1_000)
    lease, group, request = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    draw(tenant, lease, 500, 500)
    result = {"id": str(request), "lease_id": str(lease)}

    settle(tenant, group, result)
    settle(tenant, group, result)

    assert balance_of(tenant).balance_nano == 1_000 - 103
    assert Usage.objects.filter(organization=tenant).count() == 1
    assert audit(tenant) == []


def test_a_reaped_lease_is_fenced_and_the_balance_pays_as_far_as_it_goes() -> None:
    tenant = factories.organization(credit_nano=250)
    lease = uuid.uuid4()
    draw(tenant, lease, 250, 250, ttl_s=-1)
    services.reap_leases()
    ids = sorted(uuid.uuid4() for _ in range(4))

    refused = settle(tenant, uuid.uuid4(), *({"id": str(i), "lease_id": str(lease)} for i in ids))

    assert refused == ids[2:]
    assert balance_of(tenant).balance_nano == 250 - 2 * 103
    assert list(Usage.objects.filter(organization=tenant, billed=False).values_list("error_code", flat=True)) == ["service_unavailable"] * 2  # fmt: skip
    assert audit(tenant) == []


@pytest.mark.parametrize("disputed", [False, True])
def test_a_reaped_lease_spends_nothing_that_its_group_spends_from_another(disputed: bool) -> None:
    tenant = factories.organization(credit_nano=350)
    if disputed:
        top_up = factories.top_up(tenant)
        Dispute.objects.create(
            organization=tenant, top_up=top_up, stripe_id=f"dp_{tenant.id}",
            amount_nano=top_up.amount_nano,
        )  # fmt: skip
    before = balance_of(tenant).balance_nano
    reaped, held = uuid.uuid4(), uuid.uuid4()
    draw(tenant, reaped, 200, 200, ttl_s=-1)
    services.reap_leases()
    draw(tenant, held, 206, 206)
    ids = sorted(uuid.uuid4() for _ in range(4))

    refused = settle(
        tenant, uuid.uuid4(),
        *({"id": str(i), "lease_id": str(reaped)} for i in ids[:2]),
        *({"id": str(i), "lease_id": str(held)} for i in ids[2:]),
    )  # fmt: skip

    assert refused == ids[1:2]  # of 350, 206 pay what was held: that leaves one of the others
    assert balance_of(tenant).balance_nano == before - 3 * 103
    assert audit(tenant) == []


def test_what_was_not_delivered_is_taken_back_once() -> None:
    tenant = factories.organization(credit_nano=1_000)
    lease, request = uuid.uuid4(), uuid.uuid4()
    draw(tenant, lease, 500, 500)
    settle(tenant, uuid.uuid4(), {"id": str(request), "lease_id": str(lease)})

    taken = [services.take_back([f"req_{request.hex}"], reason="not_delivered") for _ in range(2)]

    assert taken == [1, 0]
    assert balance_of(tenant).balance_nano == 1_000
    usage = Usage.objects.get(organization=tenant)
    assert (usage.billed, usage.status, usage.error_code) == (False, "failed", "not_delivered")
    assert audit(tenant) == []


def test_the_audit_finds_what_a_superuser_altered() -> None:
    tenant = factories.organization(credit_nano=1_000)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(
            "UPDATE billing_transfer SET amount_nano = 2000 WHERE organization_id = %s",
            [tenant.id[4:]],
        )
        cursor.execute("SET LOCAL session_replication_role = origin")

    found = {difference.check for difference in audit(tenant)}

    assert "balance = sum of the ledger" in found
    assert "the running balance of every entry" in found


# spelling


@given(st.integers(-MAX_NANO, MAX_NANO))
def test_an_amount_is_spelled_and_read_back_exactly(amount: int) -> None:
    assert nano_from_usd(usd_from_nano(amount)) == amount


@pytest.mark.parametrize(
    "text", ["", "x", "1e400", "NaN", "Infinity", "0.0000000001", "99999999999999"]
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an amount"):
        nano_from_usd(text)


@pytest.mark.parametrize(
    ("fee", "bps", "service"),
    [(100, 300, 3), (50, 300, 2), (16, 300, 0), (17, 300, 1), (100, 0, 0)],
)
def test_the_service_fee_rounds_half_up(fee: int, bps: int, service: int) -> None:
    assert service_fee_nano(fee, bps) == service
