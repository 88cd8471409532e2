"""``/budgets/``: when the organization is told about its money."""

from typing import Any

from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.request import Request

from accounts.roles import Permission
from billing.budgets import budget_of, change_budget, version_of
from billing.models import Budget
from tokenhub.api.etags import ETAG, IF_MATCH, IF_NONE_MATCH, UNCHANGED, versions_meant
from tokenhub.api.fields import Answer, Body, Usd, UsdAmount
from tokenhub.api.view import BILLING, READ_OR_BILLING, ApiView, operation


class BudgetsSerializer(Answer):
    """The marks, in USD. Null is never."""

    example = {"low_balance": "5.00", "monthly": "500.00", "monthly_is_hard": False}

    low_balance = Usd(
        source="low_balance_nano", allow_null=True, help_text="You are told below this balance."
    )
    monthly = Usd(
        source="monthly_nano", allow_null=True,
        help_text="You are told at 50, 80 and 100 % of it in a calendar month, in UTC.",
    )  # fmt: skip
    monthly_is_hard = serializers.BooleanField(
        help_text="Whether calls are refused once the month's budget is spent."
    )


class BudgetsChangesSerializer(Body):
    """What is to be changed."""

    example = {"monthly": "500.00"}

    low_balance = UsdAmount(required=False, allow_null=True)
    monthly = UsdAmount(required=False, allow_null=True)
    monthly_is_hard = serializers.BooleanField(required=False)


_COLUMNS = {"low_balance": "low_balance_nano", "monthly": "monthly_nano"}
NEVER: dict[str, Any] = {"low_balance": None, "monthly": None, "monthly_is_hard": False}


class Budgets(ApiView):
    """The marks."""

    @operation(
        "get_budgets", "The budgets", scopes=READ_OR_BILLING, permission=Permission.VIEW_BILLING,
        answer=BudgetsSerializer, responses={200: BudgetsSerializer, **UNCHANGED},
        extra=[IF_NONE_MATCH, ETAG],
    )  # fmt: skip
    def get(self, request: Request) -> HttpResponse:
        """When you are told about money. Budgets of keys, which refuse calls, are with the keys."""
        return self._shown(budget_of(self.caller.organization))

    @operation(
        "replace_budgets", "Replace the budgets", scopes=BILLING,
        permission=Permission.MANAGE_BILLING, body=BudgetsChangesSerializer, answer=BudgetsSerializer,
        extra=[IF_MATCH, ETAG],
    )  # fmt: skip
    def put(self, request: Request) -> HttpResponse:
        """All of them: what is left out is never."""
        return self._change({**NEVER, **self.sent(BudgetsChangesSerializer)})

    @operation(
        "change_budgets", "Change some budgets", scopes=BILLING,
        permission=Permission.MANAGE_BILLING, body=BudgetsChangesSerializer, answer=BudgetsSerializer,
        extra=[IF_MATCH, ETAG],
    )  # fmt: skip
    def patch(self, request: Request) -> HttpResponse:
        """What is left out stays."""
        return self._change(self.sent(BudgetsChangesSerializer))

    def _change(self, wanted: dict[str, Any]) -> HttpResponse:
        changes = {_COLUMNS.get(name, name): value for name, value in wanted.items()}
        changed = change_budget(
            self.caller.organization, changes, actor=self.caller.actor,
            if_version=versions_meant(self.request),
        )  # fmt: skip
        return self._shown(changed)

    def _shown(self, budget: Budget) -> HttpResponse:
        return self.versioned(BudgetsSerializer, budget, version_of(budget))
