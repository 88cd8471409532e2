"""Usage: its sums are those of the ledger, its CSV is its table, its links list what it counts."""

import csv
import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.roles import Role
from billing.models import Transfer
from tests import factories
from tests.web.pages import HOSTILE, safe
from tokenhub.web.charts import HEIGHT, largest, stacked

pytestmark = pytest.mark.django_db


def go(name: str, tenant: Any) -> str:
    return reverse(name, args=[tenant.slug])


def table(client: Client, url: str, query: dict[str, str]) -> list[dict[str, str]]:
    answer = client.get(url, query)
    assert answer.status_code == 200
    return list(csv.DictReader(io.StringIO(b"".join(answer).decode())))  # type: ignore[arg-type]


def lived_in(tenant: Any) -> list[str]:
    now = datetime.now(UTC)
    made = []
    for number in range(12):
        made.append(
            factories.charge(
                tenant, 1_000_003 + number, model=f"m{number % 3}", provider=f"p{number % 2}",
                created_at=(now - timedelta(days=number * 5)).isoformat(),
            )
        )  # fmt: skip
    factories.usage(tenant, billed=False, status="failed", model="", provider="", total_nano=0, model_fee_nano=0, service_fee_nano=0, lines=[])  # fmt: skip
    return made


@pytest.mark.parametrize("group", ["model", "provider", "region", "modality", "key", "member"])
def test_page_csv_and_ledger_come_to_the_same(client: Client, inside: Any, group: str) -> None:
    lived_in(inside)
    days = {"from": f"{datetime.now(UTC) - timedelta(days=90):%Y-%m-%d}"}

    page = client.get(go("usage", inside), {"group": group, **days})
    rows = table(client, go("usage_csv", inside), {"group": group, **days})
    daily = table(client, go("usage_csv", inside), {"group": group, "days": "1", **days})
    requests = table(client, go("requests_csv", inside), days)

    ledger = sum(
        Transfer.objects.filter(organization=inside, kind="usage").values_list(
            "amount_nano", flat=True
        )
    )
    assert page.context["answer"].total.total_nano == ledger
    for lines in (rows, daily, requests):
        assert sum(Decimal(line["total_usd"]) for line in lines) * 10**9 == ledger
    assert sum(int(line["requests"]) for line in rows) == len(requests) == 13
    assert {line[group] for line in rows} == {row.name for row in page.context["answer"].rows}
    safe(page)


def test_days_are_half_open_and_compared_with_as_many_before(client: Client, inside: Any) -> None:
    lived_in(inside)
    today = datetime.now(UTC).date()
    week = {"from": str(today - timedelta(days=6)), "to": str(today)}

    answer = client.get(go("usage", inside), week).context["answer"]

    # One call every five days: today and five days ago, then ten days ago.
    assert (answer.total.requests, answer.total.failed) == (3, 1)
    assert answer.total_before.requests == 1
    assert answer.period.days == 7


def test_every_number_leads_to_the_requests_it_counts(client: Client, inside: Any) -> None:
    lived_in(inside)
    rows = client.get(go("usage", inside), {"group": "model"}).context["answer"].rows

    for row in rows:
        if row.url:
            page = client.get(f"{go('requests', inside)}?{row.url}")
            assert len(page.context["page"]) == row.sums.requests


def test_what_is_asked_narrows_the_sums(client: Client, inside: Any) -> None:
    lived_in(inside)
    answer = client.get(go("usage", inside), {"model": "m1", "group": "provider"}).context["answer"]

    assert {row.name for row in answer.rows} <= {"p0", "p1"}
    assert answer.total.requests == 2


@pytest.mark.parametrize(
    "query",
    [
        {"from": "x"}, {"from": "2026-02-01", "to": "2026-01-01"}, {"from": "1999-01-01"}, {"group": "x"},
        {"metric": HOSTILE}, {"to": "9999-12-31"}, {"to": "0001-01-01"}, {"model": "%00"},
    ],
    ids=lambda query: "-".join(f"{name}-{value}" for name, value in query.items())[:40].replace("<", ""),
)  # fmt: skip
def test_a_question_that_makes_no_sense_is_said_and_answered_for_thirty_days(
    client: Client, inside: Any, query: dict[str, str]
) -> None:
    lived_in(inside)

    page = client.get(go("usage", inside), query)

    assert page.status_code == 200
    safe(page)


def test_keys_and_members_have_their_names(client: Client, inside: Any) -> None:
    person = factories.member(inside, Role.DEVELOPER)
    minted = factories.key(inside, created_by=person)
    factories.charge(inside, key_id=str(minted.key.pk)[4:], key_name="backend")
    factories.charge(inside)

    by_member = client.get(go("usage", inside), {"group": "member"}).context["answer"].rows
    by_key = client.get(go("usage", inside), {"group": "key"}).context["answer"].rows

    assert {row.name for row in by_member} == {person.email, "a program"}
    assert any(row.name.startswith("backend") for row in by_key)


def test_nothing_of_another_organization_is_counted(client: Client, inside: Any) -> None:
    lived_in(factories.organization(credit_nano=10**9))

    assert client.get(go("usage", inside)).context["answer"].total.requests == 0
    assert table(client, go("usage_csv", inside), {}) == []
    assert table(client, go("requests_csv", inside), {}) == []


def test_the_csv_of_requests_is_exactly_what_the_filters_leave(client: Client, inside: Any) -> None:
    lived_in(inside)
    query = {"model": "m1"}

    rows = table(client, go("requests_csv", inside), query)
    page = client.get(go("requests", inside), query)

    assert [row["request"] for row in rows] == [use.id for use in page.context["page"]]


def test_the_largest_six_are_shown_and_the_rest_together() -> None:
    series = {f"m{n}": [n, 2 * n] for n in range(1, 10)}

    kept = largest(series)

    assert list(kept) == ["m9", "m8", "m7", "m6", "m5", "m4", "Other"]
    assert kept["Other"] == [6, 12]


def test_a_stack_is_as_high_as_its_sum_from_zero() -> None:
    chart = stacked(["1", "2"], {"a": [10, 0], "b": [30, 40]})

    first = [bar for bar in chart.bars if bar.x < chart.width / 2]
    assert sum(bar.height for bar in first) == pytest.approx(HEIGHT * 40 / chart.ticks[-1].value)
    assert max(bar.y + bar.height for bar in first) == HEIGHT
    assert stacked([], {}).bars == stacked(["1"], {"a": [0]}).bars == []
