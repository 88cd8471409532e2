"""Adjustments: asked for with a reason, approved by somebody else where they are much."""

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.admin import ReadOnlyAdmin, staff
from billing import adjustments
from billing.errors import BillingError
from billing.forms import MAX_USD, UsdField
from billing.models import Adjustment
from billing.models.adjustments import ALONE_UP_TO_NANO, MIN_REASON
from billing.money import usd_from_nano

LIMIT = usd_from_nano(ALONE_UP_TO_NANO)


class AdjustmentForm(forms.ModelForm):  # type: ignore[type-arg]
    """Whose balance, by how much, and why."""

    amount = UsdField(
        label="Amount in USD", min_value=-MAX_USD,
        help_text=f"With a minus it is taken. Above {LIMIT} USD in a day another operator must approve it.",
    )  # fmt: skip

    class Meta:
        model = Adjustment
        fields = ["organization", "reason"]

    def clean_amount(self) -> Decimal:
        if not self.cleaned_data["amount"]:
            raise forms.ValidationError("An adjustment of nothing changes nothing.")
        return self.cleaned_data["amount"]  # type: ignore[no-any-return]

    def clean_reason(self) -> str:
        reason = " ".join(self.cleaned_data["reason"].split())
        if len(reason) < MIN_REASON:
            raise forms.ValidationError(f"Say why, in at least {MIN_REASON} characters.")
        return reason

    def clean(self) -> dict[str, Any]:
        """Try it, so that what cannot be is said beside the form, and nothing is left of the try."""
        given = super().clean() or {}
        if {"organization", "amount", "reason"} <= given.keys():
            try:
                with transaction.atomic():
                    self._ask(given)
                    transaction.set_rollback(True)
            except BillingError as error:
                raise forms.ValidationError(str(error)) from None
        return given

    def _ask(self, given: dict[str, Any]) -> Adjustment:
        return adjustments.ask(
            given["organization"], given["amount"], reason=given["reason"], by=self.operator,
            actor=self.actor,
        )  # fmt: skip

    operator: Any = None
    actor: Any = None


@admin.register(Adjustment)
class AdjustmentAdmin(ReadOnlyAdmin):
    """“Add” asks for one; below the limit it is done at once."""

    list_display = [
        "id", "organization", "usd", "reason", "status", "requested_by", "decided_by", "requested_at",
    ]  # fmt: skip
    list_select_related = ["organization", "requested_by", "decided_by"]
    list_filter = ["status"]
    search_fields = ["organization__slug", "reason"]
    raw_id_fields = ["organization"]
    actions = ["approve", "reject"]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("billing.add_adjustment")

    def has_decide_permission(self, request: HttpRequest) -> bool:
        """Whether this operator may decide what others asked for."""
        return request.user.has_perm("billing.decide_adjustment")

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **more: Any
    ) -> Any:
        if obj is not None:
            return super().get_form(request, obj, change, **more)
        form = super().get_form(request, obj, change, form=AdjustmentForm, **more)
        return type("Form", (form,), {"operator": request.user, "actor": staff(request)})

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return ["organization", "amount", "reason"]
        return [
            "id", "organization", "usd", "reason", "status", "requested_by", "requested_at", "decided_by",
            "decided_at",
        ]  # fmt: skip

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [] if obj is None else ["usd"]

    def save_model(self, request: HttpRequest, obj: Adjustment, form: Any, change: bool) -> None:
        made = form._ask(form.cleaned_data)
        obj.__dict__.update(made.__dict__)
        if made.status == Adjustment.Status.PENDING:
            self.message_user(
                request, "It waits for another operator to approve it.", messages.WARNING
            )

    @admin.action(description="Approve: move the money", permissions=["decide"])
    def approve(self, request: HttpRequest, queryset: QuerySet[Adjustment]) -> None:
        """Only what another operator asked for, where it is much."""
        self._decide(request, queryset, adjustments.approve, "Approved")

    @admin.action(description="Reject: nothing moves", permissions=["decide"])
    def reject(self, request: HttpRequest, queryset: QuerySet[Adjustment]) -> None:
        """One's own too."""
        self._decide(request, queryset, adjustments.reject, "Rejected")

    def _decide(self, request: HttpRequest, chosen: Any, decide: Any, said: str) -> None:
        for adjustment in chosen:
            try:
                decide(adjustment, by=request.user, actor=staff(request))
            except BillingError as error:
                self.message_user(request, f"{adjustment.id}: {error}", messages.ERROR)
            else:
                self.log_change(request, adjustment, said)
                self.message_user(request, f"{adjustment.id}: {said}", messages.SUCCESS)

    @admin.display(description="Amount in USD", ordering="amount_nano")
    def usd(self, obj: Adjustment) -> str:
        """With its sign."""
        return usd_from_nano(obj.amount_nano)
