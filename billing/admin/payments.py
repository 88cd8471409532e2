"""Payments, and what Stripe said of them."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.admin import ReadOnlyAdmin
from billing.admin.money import MoneyAdmin
from billing.errors import BillingError
from billing.models import (
    Alert,
    AutomaticTopUp,
    BillingProfile,
    Budget,
    Dispute,
    PaymentMethod,
    PlanPayment,
    Reconciliation,
    Refund,
    StripeEvent,
    StripeInstruction,
    TopUp,
)
from billing.payments import inbox, outbox, topups


@admin.register(TopUp)
class TopUpAdmin(MoneyAdmin):
    """Payments into balances."""

    list_display = [
        "id", "organization", "source", "status", "amount_nano", "refunded_nano", "created_at",
        "failure",
    ]  # fmt: skip
    list_select_related = ["organization"]
    list_filter = ["status", "source"]
    search_fields = ["organization__slug", "stripe_payment_intent_id", "stripe_session_id"]
    actions = ["ask_stripe"]

    @admin.action(description="Ask Stripe how they stand, and apply it")
    def ask_stripe(self, request: HttpRequest, queryset: QuerySet[TopUp]) -> None:
        """Safe at any time, any number of times."""
        for top_up in queryset.select_related("organization"):
            try:
                done = topups.sync(top_up)
            except (BillingError, topups.UnexpectedPayment) as error:
                self.message_user(request, f"{top_up.id}: {error}", messages.ERROR)
            else:
                self.log_change(request, top_up, "Asked Stripe how it stands")
                self.message_user(request, f"{top_up.id}: {done.get_status_display()}")


@admin.register(StripeEvent)
class StripeEventAdmin(ReadOnlyAdmin):
    """The webhook inbox."""

    list_display = ["id", "type", "status", "deliveries", "received_at", "error"]
    list_filter = ["status", "type"]
    search_fields = ["id", "type"]
    actions = ["replay"]

    @admin.action(description="Replay: do what they mean again, as it stands at Stripe now")
    def replay(self, request: HttpRequest, queryset: QuerySet[StripeEvent]) -> None:
        """Harmless where it was done already."""
        for event in queryset:
            done = inbox.replay(event)
            self.log_change(request, event, f"Replayed: {done.get_status_display()}")
            failed = done.status == StripeEvent.Status.FAILED
            level = messages.ERROR if failed else messages.SUCCESS
            self.message_user(
                request, f"{event.pk}: {done.get_status_display()} {done.error}", level
            )


@admin.register(StripeInstruction)
class StripeInstructionAdmin(MoneyAdmin):
    """What Stripe is told by a job: pages to close, plans to end and pay back."""

    list_display = [
        "created_at", "organization", "kind", "subject", "status", "reason", "refunded_nano", "error",
    ]  # fmt: skip
    list_select_related = ["organization"]
    list_filter = ["status", "kind"]
    search_fields = ["organization__slug", "subject"]
    actions = ["tell_again"]

    @admin.action(description="Tell Stripe now")
    def tell_again(self, request: HttpRequest, queryset: QuerySet[StripeInstruction]) -> None:
        """Harmless where it was done already; for what Stripe refused before."""
        for instruction in queryset.select_related("organization"):
            outbox.carry_out(instruction)
            instruction.refresh_from_db()
            self.log_change(request, instruction, f"Told: {instruction.get_status_display()}")
            refused = instruction.status == StripeInstruction.Status.REFUSED
            level = messages.ERROR if refused else messages.SUCCESS
            self.message_user(
                request,
                f"{instruction}: {instruction.get_status_display()} {instruction.error}",
                level,
            )


@admin.register(Reconciliation)
class ReconciliationAdmin(MoneyAdmin):
    """Stripe's books against ours."""

    list_display = ["started_at", "finished_at", "since", "payments", "credited", "differences"]


@admin.register(Refund)
class RefundAdmin(MoneyAdmin):
    """Money that went back."""

    list_display = [
        "id", "organization", "top_up", "status", "amount_nano", "collected_nano", "reason",
        "created_at",
    ]  # fmt: skip
    list_select_related = ["organization", "top_up"]
    list_filter = ["status"]


@admin.register(Dispute)
class DisputeAdmin(MoneyAdmin):
    """Payments that are contested."""

    list_display = [
        "id", "organization", "top_up", "status", "amount_nano", "collected_nano", "created_at",
    ]  # fmt: skip
    list_select_related = ["organization", "top_up"]
    list_filter = ["status"]


@admin.register(AutomaticTopUp)
class AutomaticTopUpAdmin(MoneyAdmin):
    """How balances refill themselves."""

    list_display = [
        "organization", "enabled", "threshold_nano", "amount_nano", "monthly_cap_nano", "problem",
        "paused_until",
    ]  # fmt: skip
    list_select_related = ["organization"]
    list_filter = ["enabled", "problem"]


@admin.register(PlanPayment)
class PlanPaymentAdmin(MoneyAdmin):
    """Card payments for plans."""

    list_display = ["id", "organization", "subscription", "amount_nano", "paid_at"]
    list_select_related = ["organization", "subscription"]


@admin.register(PaymentMethod)
class PaymentMethodAdmin(ReadOnlyAdmin):
    """Saved cards, as far as anyone may know them."""

    list_display = ["organization", "brand", "last4", "exp_month", "exp_year", "removed_at"]
    list_select_related = ["organization"]


@admin.register(BillingProfile)
class BillingProfileAdmin(ReadOnlyAdmin):
    """Who is billed."""

    list_display = ["organization", "legal_name", "country", "tax_id", "stripe_customer_id"]
    list_select_related = ["organization"]
    search_fields = ["organization__slug", "legal_name", "stripe_customer_id"]


@admin.register(Budget)
class BudgetAdmin(MoneyAdmin):
    """When organizations want to be told."""

    list_display = ["organization", "low_balance_nano", "monthly_nano"]
    list_select_related = ["organization"]


@admin.register(Alert)
class AlertAdmin(MoneyAdmin):
    """What they were told."""

    list_display = ["created_at", "organization", "kind", "threshold", "message", "mailed_at"]
    list_select_related = ["organization"]
    list_filter = ["kind"]
