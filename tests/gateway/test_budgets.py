"""Hard budgets: no number of calls, processes or kills spends more than a key's or a month's budget."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from django.db import connection
from django.db.models import Sum

from accounts.audit import SYSTEM
from accounts.models import Organization
from billing import services
from billing.alerts import set_budget
from billing.models import BudgetLease, Usage
from keys.budgets import Budget
from keys.services import rotate, update
from tests import factories
from tests.conftest import new_gateway
from tests.live import Gateway
from tests.load import Load, Outcome, at_once, call
from tests.processes import eventually

MODEL = "deepseek/deepseek-v3.2"
# What `call` costs at most: the bytes of its messages and 16 for what is around them, 12 tokens of answer, and the fee.
PROMPT = len('[{"role":"user","content":"Hello [[tokens=12]]"}]') + 16
HIGHEST = (PROMPT * 280 + 12 * 400) * 103 // 100


def spent(tenant: Organization) -> int:
    """What was billed."""
    billed = Usage.objects.filter(organization=tenant, billed=True)
    return int(billed.aggregate(sum=Sum("total_nano"))["sum"] or 0)


@pytest.fixture
def two(gateway: Gateway, gateway_environ: dict[str, str]) -> Iterator[list[str]]:
    """The addresses of two gateway processes."""
    second = new_gateway(gateway_environ).start()
    yield [gateway.url, second.url]
    second.stop()


def test_100_parallel_calls_through_two_gateways_spend_a_budget_and_no_nano_more(
    two: list[str],
) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000_000)
    budget = 300_000
    secret = factories.key(tenant, budget=Budget(budget, "total")).secret

    def one(number: int) -> Outcome:
        with httpx2.Client(timeout=60) as http:
            return call(http, two[number % 2], secret, MODEL, number % 3 == 0)

    outcomes = at_once(100, one)

    served = sum(outcome.complete for outcome in outcomes)
    assert served + sum(outcome.status == 402 for outcome in outcomes) == 100, [
        o for o in outcomes if not o.complete and o.status != 402
    ]
    assert served == Usage.objects.filter(organization=tenant, billed=True).count()
    assert spent(tenant) <= budget
    # What is left does not cover another call: neither process keeps back what the other could spend.
    assert budget - spent(tenant) < HIGHEST


def test_a_refusal_names_the_budget_what_is_spent_and_when_it_begins_anew(
    gateway: Gateway,
) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000)
    minted = factories.key(tenant, budget=Budget(20_000, "day"))
    factories.usage(
        tenant, key=minted.key, model_fee_nano=19_000, service_fee_nano=570, total_nano=19_570
    )

    refused = gateway.chat(minted.secret, MODEL)

    assert refused.status_code == 402
    assert refused.headers["x-should-retry"] == "false"
    error = refused.json()["error"]
    midnight = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT00:00:00Z")
    assert error["code"] == "key_budget_exceeded"
    assert error["budget"] == {
        "amount": "0.00002",
        "period": "day",
        "used": "0.00001957",
        "resets_at": midnight,
    }
    assert "0.00002 USD a day" in error["message"]
    assert midnight in error["message"]


@pytest.mark.parametrize(("period", "status"), [("day", 200), ("total", 402)])
def test_what_was_spent_before_a_period_does_not_count_in_it(
    gateway: Gateway, period: str, status: int
) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000)
    minted = factories.key(tenant, budget=Budget(100_000, period))
    factories.usage(
        tenant, key=minted.key, created_at=datetime.now(UTC) - timedelta(days=1),
        model_fee_nano=97_000, service_fee_nano=3_000, total_nano=100_000,
    )  # fmt: skip

    assert gateway.chat(minted.secret, MODEL).status_code == status


def test_a_budget_is_of_one_key_and_a_new_secret_does_not_fill_it(gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000)
    minted, other = (factories.key(tenant, budget=Budget(50_000, "month")) for _ in range(2))
    factories.usage(
        tenant, key=minted.key, model_fee_nano=50_000, service_fee_nano=0, total_nano=50_000
    )

    rotated = rotate(minted.key, grace=timedelta(days=1), actor=SYSTEM)

    assert gateway.chat(minted.secret, MODEL).json()["error"]["code"] == "key_budget_exceeded"
    assert gateway.chat(rotated.secret, MODEL).json()["error"]["code"] == "key_budget_exceeded"
    assert gateway.chat(other.secret, MODEL).status_code == 200


def test_a_changed_budget_holds_within_a_second(gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000)
    minted = factories.key(tenant, budget=Budget(1, "total"))
    assert gateway.chat(minted.secret, MODEL).status_code == 402

    update(minted.key, {"budget": Budget(100_000_000, "total")}, actor=SYSTEM)
    eventually(lambda: gateway.chat(minted.secret, MODEL).status_code == 200, within_s=1)

    # What was drawn under the higher budget does not outlast it.
    update(minted.key, {"budget": Budget(spent(tenant) + 1, "total")}, actor=SYSTEM)
    eventually(lambda: gateway.chat(minted.secret, MODEL).status_code == 402, within_s=1)
    assert gateway.chat(minted.secret, MODEL).status_code == 402

    update(minted.key, {"budget": None}, actor=SYSTEM)
    eventually(lambda: gateway.chat(minted.secret, MODEL).status_code == 200, within_s=1)


def test_a_months_hard_budget_is_of_all_keys_together(gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000)
    first, second = factories.key(tenant).secret, factories.key(tenant).secret
    set_budget(
        tenant, low_balance_nano=None, monthly_nano=50_000, monthly_is_hard=True, actor=SYSTEM
    )

    statuses = [
        gateway.chat(secret, MODEL, text="Hello [[tokens=12]]", max_tokens=12).status_code
        for secret in [first, second] * 8
    ]

    assert set(statuses) == {200, 402}
    assert spent(tenant) <= 50_000 < spent(tenant) + HIGHEST
    refused = gateway.chat(second, MODEL)
    assert refused.json()["error"]["code"] == "budget_exceeded"
    set_budget(
        tenant, low_balance_nano=None, monthly_nano=50_000, monthly_is_hard=False, actor=SYSTEM
    )
    eventually(lambda: gateway.chat(second, MODEL).status_code == 200, within_s=1)


def test_kill_9_under_load_neither_exceeds_a_budget_nor_keeps_it(
    gateway: Gateway, gateway_environ: dict[str, str], tmp_path: Any
) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000_000)
    minted = factories.key(tenant, budget=Budget(10**12, "month"))
    secret = minted.secret
    server = new_gateway(gateway_environ, DATA_DIR=str(tmp_path)).start()
    loads = [Load(url, secret, (MODEL,), workers=6).start() for url in (server.url, gateway.url)]
    try:
        for _ in range(5):
            seen = len(loads[0].outcomes)
            eventually(lambda n=seen: len(loads[0].outcomes) > n + 30, within_s=30)
            server.kill()
            server.start()
        for load in loads:
            load.stop()
        # Everybody draws from what is left, and the last process dies with its share.
        budget = spent(tenant) + 100 * HIGHEST
        update(minted.key, {"budget": Budget(budget, "month")}, actor=SYSTEM)
        loads = [Load(load.url, secret, (MODEL,), workers=6).start() for load in loads]
        eventually(lambda: budget - spent(tenant) < 50 * HIGHEST, within_s=30)
        server.kill()
    finally:
        for load in loads:
            load.stop()
        server.stop()

    def whole() -> bool:
        services.reap_leases()
        return not BudgetLease.objects.filter(organization=tenant, closed_at=None).exists()

    eventually(whole, within_s=15, what="shares of dead processes returning")
    assert spent(tenant) <= budget
    # What the killed process had drawn came back: it is there to be spent.
    with httpx2.Client(timeout=30) as http:
        while call(http, gateway.url, secret, MODEL, streamed=False).status == 200:
            assert spent(tenant) <= budget
    assert budget - spent(tenant) < HIGHEST


# the database alone


def draw(
    minted: Any, share: uuid.UUID, need: int, want: int, *, limit: int, ttl_s: float = 30
) -> Any:
    today = datetime.now(UTC).date()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT granted, available, elsewhere, used FROM billing_draw_budget("
            "%s, %s, %s, %s, %s, %s, 'test', %s, %s, %s)",
            [
                share, minted.key.organization_id[4:], minted.key.id[4:], limit, today,
                today + timedelta(days=1), need, want, ttl_s,
            ],
        )  # fmt: skip
        return cursor.fetchone()


def test_a_share_takes_what_is_needed_but_leaves_most_to_others(committed: None) -> None:
    minted = factories.key(factories.organization(credit_nano=1_000))

    assert draw(minted, uuid.uuid4(), 10, 500, limit=1_000) == (250, 750, 0, 0)
    assert draw(minted, uuid.uuid4(), 700, 700, limit=1_000) == (700, 50, 250, 0)
    assert draw(minted, uuid.uuid4(), 51, 51, limit=1_000) == (0, 50, 950, 0)


def test_a_reaped_share_is_fenced_and_the_budget_pays_as_far_as_it_goes(committed: None) -> None:
    tenant = factories.organization(credit_nano=1_000_000)
    minted = factories.key(tenant)
    share = uuid.uuid4()
    draw(minted, share, 250, 250, limit=300, ttl_s=-1)
    services.reap_leases()
    draw(minted, uuid.uuid4(), 150, 150, limit=300)

    def charge() -> str:
        return factories.charge(
            tenant, 97, service_fee_bps=300, key_id=minted.key.id[4:], budget_leases=[str(share)]
        )

    # 150 of 300 are another's: of two charges of 100 the first still fits.
    assert Usage.objects.get(id=charge()).billed
    with pytest.raises(AssertionError):
        charge()
    assert spent(tenant) == 100


def test_a_video_holds_its_price_of_the_budget_until_it_ends(gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=1_000_000_000_000)
    minted = factories.key(tenant, budget=Budget(4_000_000_000, "day"))

    def create() -> httpx2.Response:
        return gateway.http.post(
            f"{gateway.url}/v1/video/generations",
            headers={"authorization": f"Bearer {minted.secret}"},
            json={
                "model": "wan2.7-t2v",
                "prompt": "[[hang]] A boat",
                "duration": 10,
                "resolution": "720p",
            },
        )

    answers = [create() for _ in range(8)]

    begun = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code == 402]
    assert begun
    assert refused
    assert len(begun) + len(refused) == 8
    assert refused[0].json()["error"]["code"] == "key_budget_exceeded"
    held = BudgetLease.objects.filter(organization=tenant, closed_at=None)
    assert held.count() == len(begun)
    task = begun[0].json()["id"]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT billing_finish_task(%s, %s::json)",
            [task.removeprefix("task_"), '{"status": "failed", "error_code": "providers_failed"}'],
        )
    assert held.count() == len(begun) - 1
    assert create().status_code == 200
