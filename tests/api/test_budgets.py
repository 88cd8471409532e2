"""Budgets by program, and the status page for programs."""

from datetime import UTC, datetime
from typing import Any

import pytest

from accounts.models import AuditEvent
from billing.models import Budget
from tests.api.program import Program, problem
from tokenhub.web.models import Incident

pytestmark = pytest.mark.django_db


def test_budgets_are_shown_changed_and_replaced(program: Program) -> None:
    first = program.get("budgets/")
    assert first.json() == {"low_balance": "5.00", "monthly": None, "monthly_is_hard": False}

    changed = program.patch("budgets/", {"monthly": "500.00", "monthly_is_hard": True})
    replaced = program.put("budgets/", {"low_balance": "1.50"})

    assert changed.json() == {"low_balance": "5.00", "monthly": "500.00", "monthly_is_hard": True}
    assert replaced.json() == {"low_balance": "1.50", "monthly": None, "monthly_is_hard": False}
    assert first["etag"] != changed["etag"] != replaced["etag"]
    event = AuditEvent.objects.for_organization(program.tenant).first()
    assert (event.actor_kind, event.action) == ("key", "budget.changed")


def test_a_budget_that_refuses_calls_does_not_outlive_its_amount(program: Program) -> None:
    program.patch("budgets/", {"monthly": "500.00", "monthly_is_hard": True})

    without = program.patch("budgets/", {"monthly": None})

    assert without.json()["monthly_is_hard"] is False


def test_a_change_of_what_was_not_read_is_refused(program: Program) -> None:
    read = program.get("budgets/")["etag"]
    program.patch("budgets/", {"monthly": "10.00"}, If_Match=read)

    late = program.patch("budgets/", {"monthly": "20.00"}, If_Match=read)

    problem(late, 412, "precondition_failed")
    assert Budget.objects.get(organization=program.tenant).monthly_nano == 10 * 10**9


@pytest.mark.parametrize(
    ("body", "field"),
    [({"monthly": "0"}, "monthly"), ({"low_balance": "0.00"}, "low_balance"), ({"monthly": 5}, "monthly"),
     ({"monthly_nano": 1}, "monthly_nano"), ({"monthly_is_hard": True}, "monthly_is_hard")],
)  # fmt: skip
def test_a_budget_that_is_none_is_refused(
    program: Program, body: dict[str, Any], field: str
) -> None:
    found = problem(program.patch("budgets/", body), 400, "validation_failed")

    assert found["errors"][0]["field"] == field
    assert not Budget.objects.for_organization(program.tenant).exists()


def test_the_status_lists_providers_and_incidents(program: Program, catalogue: None) -> None:
    Incident.objects.create(
        provider="deepseek", name="DeepSeek", modality="text", regions=["cn"], reason="secret reason",
        opened_at=datetime.now(UTC),
    )  # fmt: skip

    answer = program.get("status/")

    found = answer.json()
    assert {"provider", "name", "modality", "today", "percent"} == set(found["providers"][0])
    assert found["incidents"][0]["provider"] == "deepseek"
    assert found["incidents"][0]["closed_at"] is None
    assert "secret reason" not in answer.content.decode()
