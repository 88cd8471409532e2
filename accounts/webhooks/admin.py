"""Webhooks for operators: to look at, and to send again."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.admin import ReadOnlyAdmin, staff
from accounts.audit import record
from accounts.webhooks.errors import InvalidEndpoint
from accounts.webhooks.models import Attempt, Delivery, Endpoint
from accounts.webhooks.services import redeliver


@admin.register(Endpoint)
class EndpointAdmin(ReadOnlyAdmin):
    """Where customers are told. Their secrets are nobody's to see."""

    list_display = ["id", "organization", "url", "enabled", "failing_since", "disabled_reason"]
    list_select_related = ["organization"]
    list_filter = ["enabled"]
    search_fields = ["organization__slug", "url"]
    exclude = ["secret", "previous_secret"]


class AttemptInline(admin.TabularInline):  # type: ignore[type-arg]
    """Each try."""

    model = Attempt
    extra = 0
    can_delete = False
    readonly_fields = ["number", "at", "response_status", "error", "duration_ms"]
    exclude = ["response_text"]

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    """What is sent, and how it went."""

    list_display = [
        "id",
        "organization",
        "event",
        "status",
        "attempts",
        "next_try_at",
        "created_at",
    ]
    list_select_related = ["organization", "event"]
    list_filter = ["status"]
    search_fields = ["organization__slug"]
    inlines = [AttemptInline]
    actions = ["send_again"]

    @admin.action(description="Send again, from now")
    def send_again(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        """Under the same id, so that the customer counts it once."""
        by = staff(request)
        for delivery in queryset.select_related("endpoint", "organization"):
            try:
                redeliver(delivery)
            except InvalidEndpoint as error:
                self.message_user(request, f"{delivery.id}: {error}", messages.ERROR)
            else:
                record(delivery.organization, by, "webhook.redelivered", delivery.id)
                self.log_change(request, delivery, "Sent again")
                self.message_user(request, f"{delivery.id} is sent again.", messages.SUCCESS)
