"""Plans, agreements and subscriptions: what has been in force is never rewritten, only followed."""

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone

from accounts.admin import staff
from accounts.audit import record
from billing.admin.money import in_usd
from billing.errors import BillingError
from billing.models import STARTER, Agreement, Plan, PlanVersion, Subscription
from billing.payments import subscriptions
from billing.plans import is_taken


@admin.register(Plan)
class PlanAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """The plans' names and order."""

    list_display = ["name", "slug", "rank"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(PlanVersion)
class PlanVersionAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """A change of a plan is a new version, from an instant on."""

    list_display = [
        "plan", "effective_from", "rpm", "concurrency", in_usd("monthly_price_nano"), "fee_bps",
        "compliance_extension",
    ]  # fmt: skip
    list_filter = ["plan"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None or obj.effective_from > timezone.now()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is not None and self.has_change_permission(request, obj)


class AgreementForm(forms.ModelForm):  # type: ignore[type-arg]
    """An agreement, with who agreed to it and where that is written."""

    class Meta:
        model = Agreement
        fields = [
            "organization", "fee_bps", "rpm", "concurrency", "effective_from", "effective_until",
            "agreed_by", "reference",
        ]  # fmt: skip
        labels = {"fee_bps": "Service fee (bps)", "rpm": "Requests per minute"}

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        tenant = given.get("organization") or getattr(self.instance, "organization", None)
        start = given.get("effective_from") or self.instance.effective_from
        end = given.get("effective_until")
        if tenant is not None and is_taken(tenant, start, end, self.instance.pk):
            raise ValidationError("Another agreement is in force in that time. End it first.")
        return given


@admin.register(Agreement)
class AgreementAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """What was agreed with one organization; of one in force, only the end can be moved."""

    form = AgreementForm
    list_display = [
        "organization", "reference", "fee_bps", "rpm", "concurrency", "effective_from",
        "effective_until", "agreed_by",
    ]  # fmt: skip
    list_select_related = ["organization"]
    search_fields = ["organization__slug", "organization__name", "reference"]
    raw_id_fields = ["organization"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        if obj is None or obj.effective_from > timezone.now():
            return []
        return [name for name in AgreementForm.Meta.fields if name != "effective_until"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None or not _is_over(obj.effective_until)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is not None and obj.effective_from > timezone.now()

    def save_model(self, request: HttpRequest, obj: Agreement, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        after = {name: str(getattr(obj, name)) for name in AgreementForm.Meta.fields[1:]}
        record(obj.organization, staff(request), "agreement.set", obj.reference, after=after)


class SubscriptionForm(forms.ModelForm):  # type: ignore[type-arg]
    """An organization on a plan by an operator's hand; it ends the one that is in force."""

    class Meta:
        model = Subscription
        fields = ["organization", "plan", "starts_at", "ends_at", "note"]

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        tenant, start = given.get("organization"), given.get("starts_at")
        plan = given.get("plan")
        if plan is not None and plan.slug == STARTER:
            raise ValidationError("Starter is being on no other plan: end the one in force.")
        if self.instance.pk is None and tenant is not None and start is not None:
            later = Subscription.objects.for_organization(tenant).filter(starts_at__gte=start)
            if later.exists():
                raise ValidationError("Another plan is already set for that time. End it first.")
        return given


@admin.register(Subscription)
class SubscriptionAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Who is on which plan. Those by card follow Stripe; end them there."""

    form = SubscriptionForm
    list_display = ["organization", "plan", "source", "starts_at", "ends_at", "stripe_id"]
    list_select_related = ["organization", "plan"]
    list_filter = ["plan", "source"]
    search_fields = ["organization__slug", "organization__name", "stripe_id"]
    raw_id_fields = ["organization"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [] if obj is None else ["organization", "plan", "starts_at"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        by_hand = obj is None or obj.source == Subscription.Source.OPERATOR
        return by_hand and (obj is None or not _is_over(obj.ends_at))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().add_view(request, *args, **kwargs)
        except BillingError as error:
            messages.error(request, f"Nothing was saved. {error}")
            return HttpResponseRedirect(request.get_full_path())

    def save_model(self, request: HttpRequest, obj: Subscription, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            record(
                obj.organization, staff(request), "plan.ending", obj.plan_id,
                after={"until": str(obj.ends_at)},
            )  # fmt: skip
            return
        made = subscriptions.assign(
            obj.organization, obj.plan_id, actor=staff(request), starts_at=obj.starts_at,
            ends_at=obj.ends_at, note=obj.note,
        )  # fmt: skip
        if made is not None:
            obj.pk = made.pk


def _is_over(end: datetime | None) -> bool:
    return end is not None and end <= timezone.now()
