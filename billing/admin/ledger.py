"""The ledger and usage for operators: to look at, never to change."""

from collections.abc import Iterator
from typing import Any

from django.contrib import admin

from billing.admin.money import MoneyAdmin
from billing.models import Account, Lease, MediaTask, Transfer, Usage


class ValueOrNone(admin.AllValuesFieldListFilter):
    """By each value there is; a link needs a word where the value is empty."""

    def choices(self, changelist: Any) -> Iterator[Any]:
        for choice in super().choices(changelist):
            yield {**choice, "display": choice["display"] or "None"}


@admin.register(Account)
class AccountAdmin(MoneyAdmin):
    list_display = ["organization", "kind", "balance_nano", "leased_nano"]
    list_select_related = ["organization"]


@admin.register(Transfer)
class TransferAdmin(MoneyAdmin):
    list_display = [
        "created_at",
        "organization",
        "kind",
        "amount_nano",
        "balance_after_nano",
        "reference",
    ]
    list_select_related = ["organization"]
    search_fields = ["reference"]


@admin.register(Lease)
class LeaseAdmin(MoneyAdmin):
    list_display = [
        "id",
        "organization",
        "holder",
        "granted_nano",
        "spent_nano",
        "expires_at",
        "closed_at",
    ]
    list_select_related = ["organization"]


@admin.register(Usage)
class UsageAdmin(MoneyAdmin):
    list_display = ["id", "organization", "status", "billed", "model", "provider", "total_nano"]
    list_select_related = ["organization"]
    search_fields = ["id"]


@admin.register(MediaTask)
class MediaTaskAdmin(MoneyAdmin):
    """Videos on their way and what became of them."""

    list_display = (
        "id", "organization", "created_at", "status", "model_requested", "provider", "region", "polls",
        "error_code", "finished_at",
    )  # fmt: skip
    list_filter = ("status", ("provider", ValueOrNone), ("error_code", ValueOrNone))
    search_fields = ("id", "upstream_id", "organization__slug")
    list_select_related = ("organization",)
