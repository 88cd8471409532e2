"""What was used: requests as they are on record, and their sums, exact and half-open."""

import csv
import io
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from billing.media import End, finish
from tests import factories
from tests.api.program import Program, problem

pytestmark = pytest.mark.django_db

# INTERFACE.md §3, to the letter.
FIELDS = {
    "id", "created_at", "status", "billed", "error", "key", "dialect", "modality", "model_requested", "model",
    "provider", "region", "stream", "usage", "lines", "model_fee", "service_fee", "service_fee_bps", "total",
    "price_version", "attempts", "routing", "latency_ms", "first_token_ms", "session_id",
}  # fmt: skip


@pytest.fixture
def rich() -> Program:
    return Program.of(factories.organization(credit_nano=10**12))


def test_a_request_is_shown_with_its_arithmetic(program: Program) -> None:
    key = factories.key(program.tenant).key
    usage = factories.usage(program.tenant, key=key)

    found = program.get(f"requests/{usage.id}/").json()

    assert set(found) >= FIELDS
    assert found["id"] == usage.id
    assert found["key"] == key.id
    assert found["usage"] == {"input": 10}
    assert found["lines"] == [{"unit": "input", "count": 10, "price": "0.28", "fee": "0.0000028"}]
    assert (found["model_fee"], found["service_fee"], found["total"]) == (
        "0.0000028", "0.000000084", "0.000002884",
    )  # fmt: skip
    assert found["error"] is None
    assert set(found["attempts"][0]) == {"provider", "region", "outcome", "status", "latency_ms"}
    assert set(found["routing"]) >= {"model", "candidates", "excluded", "policy_version"}


def test_a_refused_request_is_on_record_too(program: Program) -> None:
    usage = factories.usage(
        program.tenant, status="failed", billed=False, error_code="outside_boundaries", units={}, lines=[],
        attempts=[], routing={}, model_fee_nano=0, service_fee_nano=0, total_nano=0, provider="", region="",
    )  # fmt: skip

    found = program.get(f"requests/{usage.id}/").json()

    assert (found["status"], found["billed"], found["error"]) == (
        "failed", False, "outside_boundaries",
    )  # fmt: skip
    assert found["routing"]["candidates"] == []
    assert found["total"] == "0.00"


def test_requests_are_found_by_every_filter(program: Program) -> None:
    key = factories.key(program.tenant).key
    wanted = factories.usage(
        program.tenant, key=key, model="m-1", provider="p-1", region="r-1", modality="image", status="failed",
        error_code="providers_failed", session_id="s-1", created_at=datetime(2026, 3, 1, tzinfo=UTC),
        billed=False, model_fee_nano=0, service_fee_nano=0, total_nano=0,
    )  # fmt: skip
    factories.usage(program.tenant)

    for query in (
        "model=m-1", "provider=p-1", "region=r-1", "modality=image", "status=failed",
        "error=providers_failed", "session_id=s-1", f"key={key.id}", "to=2026-03-02",
        "from=2026-03-01&to=2026-03-01T00:00:01Z",
    ):  # fmt: skip
        assert [each["id"] for each in program.get(f"requests/?{query}").json()["data"]] == [
            wanted.id
        ], query
    assert program.get("requests/?to=2026-03-01").json()["data"] == []


@pytest.mark.parametrize(
    "query", ["from=yesterday", "from=2026-02-30", "key=key_1", "key=%F0", "status=lost", "to=2026-13-01T00:00:00Z"]
)  # fmt: skip
def test_a_filter_that_is_none_is_refused(program: Program, query: str) -> None:
    found = problem(program.get(f"requests/?{query}"), 400, "validation_failed")

    assert found["errors"][0]["field"] == query.partition("=")[0]


def test_requests_hold_still_while_others_come(program: Program) -> None:
    made = [factories.usage(program.tenant).id for _ in range(4)]

    first = program.get("requests/?limit=2").json()
    factories.usage(program.tenant)
    rest = program.get(f"requests/?limit=5&cursor={first['next_cursor']}").json()

    assert [each["id"] for each in first["data"] + rest["data"]] == made[::-1]


def test_a_hundred_requests_cost_a_handful_of_queries(
    program: Program, django_assert_max_num_queries: Any
) -> None:
    for _ in range(20):
        factories.usage(program.tenant)
    program.get("me/")

    with django_assert_max_num_queries(4):
        assert len(program.get("requests/?limit=100").json()["data"]) == 20


def test_sums_are_those_of_the_requests(rich: Program) -> None:
    for _ in range(3):
        factories.charge(rich.tenant, 100_000)
    factories.charge(rich.tenant, 7)

    found = rich.get("usage/?group_by=model").json()

    assert found["group_by"] == ["model"]
    assert [row["model"] for row in found["data"]] == ["m"]
    row = found["data"][0]
    assert set(row) == {
        "model", "requests", "failed", "input_tokens", "output_tokens", "model_fee", "service_fee", "total",
    }  # fmt: skip
    assert (row["requests"], row["input_tokens"], row["model_fee"]) == (4, 28, "0.000300007")
    assert found["total"] == {name: value for name, value in row.items() if name != "model"}
    moved = rich.get("transactions/?kind=usage").json()["data"]
    assert sum(float(each["amount"]) for each in moved) == -float(row["total"])


@pytest.mark.parametrize(
    "group", ["day", "model", "provider", "region", "modality", "key", "member"]
)
def test_every_grouping_has_the_same_total(rich: Program, group: str) -> None:
    factories.charge(rich.tenant, 100_000)
    factories.charge(rich.tenant, 200_000)

    found = rich.get(f"usage/?group_by={group}").json()

    assert found["total"]["requests"] == 2
    assert sum(row["requests"] for row in found["data"]) == 2
    assert all(group in row for row in found["data"])


def test_two_groupings_at_once_and_nothing_foreign(rich: Program) -> None:
    factories.charge(rich.tenant)
    other = factories.organization(credit_nano=10**12)
    factories.charge(other)

    found = rich.get("usage/?group_by=day,key&provider=p").json()

    assert [set(row) & {"day", "key", "key_name"} for row in found["data"]] == [
        {"day", "key", "key_name"}
    ]
    assert found["total"]["requests"] == 1
    assert rich.get("usage/?provider=other").json()["data"] == []


def test_days_are_half_open(rich: Program) -> None:
    factories.charge(rich.tenant)
    today = datetime.now(UTC).date()
    tomorrow, yesterday = today + timedelta(days=1), today - timedelta(days=1)

    def count(since: Any, until: Any) -> int:
        return int(rich.get(f"usage/?from={since}&to={until}").json()["total"]["requests"])

    # Around midnight the request may be of the day before.
    assert count(yesterday, tomorrow) == 1
    assert count(tomorrow, tomorrow + timedelta(days=1)) == 0
    assert count(yesterday, today) + count(today, tomorrow) == 1


@pytest.mark.parametrize(
    ("query", "field"),
    [("group_by=weather", "group_by"), ("group_by=", "group_by"), ("group_by=day,day", "group_by"),
     ("group_by=day,model,provider,region", "group_by"), ("from=2026-02-01&to=2026-02-01", "to"),
     ("from=2026-02-02&to=2026-02-01", "to"), ("from=2020-01-01&to=2026-01-01", "from"), ("from=x", "from"),
     ("to=0001-01-01", "to"), ("to=9999-12-31", "to"), ("from=0001-01-01", "from")],
)  # fmt: skip
def test_a_senseless_period_or_grouping_is_refused(
    program: Program, query: str, field: str
) -> None:
    found = problem(program.get(f"usage/?{query}"), 400, "validation_failed")

    assert found["errors"][0]["field"] == field


def test_usage_is_a_table_on_demand_and_nothing_in_it_calculates(rich: Program) -> None:
    factories.charge(rich.tenant, model="=HYPERLINK(1)", model_requested="=HYPERLINK(1)")

    answer = rich.get("usage/?group_by=model,provider", Accept="text/csv")

    assert answer["content-type"].startswith("text/csv")
    assert answer["x-request-id"]
    table = list(csv.reader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert table[0][:4] == ["model", "provider", "requests", "failed"]
    assert table[1][0] == "'=HYPERLINK(1)"


def test_a_refusal_of_a_table_is_a_problem_all_the_same(program: Program) -> None:
    problem(program.get("usage/?group_by=x", Accept="text/csv"), 400, "validation_failed")


def test_usage_costs_a_handful_of_queries(
    rich: Program, django_assert_max_num_queries: Any
) -> None:
    factories.charge(rich.tenant)
    rich.get("me/")

    with django_assert_max_num_queries(6):
        rich.get("usage/?group_by=day,key,member")


def test_a_video_on_its_way_is_a_running_request(program: Program) -> None:
    task = factories.media_task(program.tenant)
    request_id = task.id.replace("task_", "req_")

    listed = program.get("requests/?status=running").json()["data"]

    assert [each["id"] for each in listed] == [request_id]
    assert set(listed[0]) >= FIELDS
    assert (listed[0]["status"], listed[0]["billed"], listed[0]["total"]) == (
        "running",
        False,
        "0.00",
    )
    assert program.get(f"requests/{request_id}/").json() == listed[0]
    assert program.get(f"requests/{task.id}/").json() == listed[0]
    assert program.get("requests/").json()["data"] == []
    assert program.get("requests/?status=running&provider=other").json()["data"] == []
    other = Program.of(factories.organization())
    problem(other.get(f"requests/{task.id}/"), 404, "not_found")
    finish(task, End("failed", error_code="providers_failed"))
    assert program.get(f"requests/{task.id}/").json()["status"] == "failed"
    assert program.get("requests/?status=running").json()["data"] == []


def test_an_archived_request_is_said_to_be(program: Program) -> None:
    factories.archived_usage(program.tenant, date(2001, 1, 1))
    at_ms = int(datetime(2001, 1, 20, tzinfo=UTC).timestamp() * 1000)

    answer = program.get(f"requests/req_{at_ms:012x}{'0' * 20}/")

    assert "those of 2001-01 are archived" in problem(answer, 404, "not_found")["detail"]
