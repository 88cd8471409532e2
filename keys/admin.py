"""Keys for operators: what may be known of them, and stopping one for good."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.admin import ReadOnlyAdmin, staff
from keys.models import ApiKey
from keys.services import revoke


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    """No secret is kept that could be shown."""

    list_display = [
        "label",
        "name",
        "organization",
        "kind",
        "created_at",
        "last_used_at",
        "revoked_at",
    ]
    list_select_related = ["organization"]
    list_filter = ["kind"]
    search_fields = ["name", "prefix", "last4", "organization__slug"]
    exclude = ["digest"]
    actions = ["revoke"]

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Whether this operator may stop customers' keys."""
        return request.user.has_perm("keys.change_apikey")

    @admin.action(description="Revoke: calls are refused within a second", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """For good, in every gateway."""
        for key in queryset.select_related("organization"):
            revoke(key, actor=staff(request))
            self.log_change(request, key, "Revoked")
            self.message_user(request, f"{key} is revoked.", messages.SUCCESS)
