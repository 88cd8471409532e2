"""The public site for operators: announcements, legal texts, the queue of messages."""

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import urlencode

from tokenhub.web import testing
from tokenhub.web.models import Announcement, ContactRequest, Incident, LegalText


@admin.register(Announcement)
class AnnouncementAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """What customers are told."""

    list_display = ["title", "severity", "published_at", "ends_at"]
    list_filter = ["severity"]
    search_fields = ["title", "body"]
    prepopulated_fields = {"slug": ["title"]}


@admin.register(Incident)
class IncidentAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """They open and close by themselves; what customers are told is the announcement's to say."""

    list_display = [
        "title", "provider", "modality", "opened_at", "closed_at", "reason", "announcement",
    ]  # fmt: skip
    list_filter = [("closed_at", admin.EmptyFieldListFilter), "modality", "provider"]
    list_select_related = ["announcement"]
    date_hierarchy = "opened_at"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(LegalText)
class LegalTextAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """A change of a text is a new version; one in force is not rewritten."""

    list_display = ["page", "effective_from"]
    list_filter = ["page"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None or obj.effective_from > timezone.now().date()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is not None and self.has_change_permission(request, obj)


@admin.register(ContactRequest)
class ContactRequestAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """The queue: who wrote, about what, who answers."""

    list_display = ["reference", "topic", "name", "company", "status", "assignee", "created_at"]
    list_filter = ["status", "topic", "assignee"]
    list_select_related = ["assignee"]
    search_fields = ["reference", "name", "email", "company", "message"]
    readonly_fields = [
        "reference", "topic", "name", "email", "company", "message", "organization", "created_at", "answer",
    ]  # fmt: skip
    fields = [*readonly_fields, "status", "assignee", "notes"]
    actions = ["take"]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.action(description="Take: I answer these")
    def take(self, request: HttpRequest, queryset: Any) -> None:
        """Into one's own hands."""
        taken = list(queryset)
        # By their ids: the list may be filtered by the very status and assignee that change here.
        rows = ContactRequest.objects.filter(pk__in=[message.pk for message in taken])
        rows.filter(status=ContactRequest.Status.NEW).update(status=ContactRequest.Status.OPEN)
        rows.update(assignee=request.user)
        for message in taken:
            self.log_change(request, message, "Taken")
        many = "1 request is" if len(taken) == 1 else f"{len(taken)} requests are"
        self.message_user(request, f"{many} yours now.", messages.SUCCESS)

    @admin.display(description="Answer")
    def answer(self, obj: ContactRequest) -> str:
        """A link that opens a mail to the sender, with the reference in its subject."""
        query = urlencode({"subject": f"Your message {obj.reference}"}).replace("+", "%20")
        return format_html('<a href="mailto:{}?{}">{}</a>', obj.email, query, obj.email)


# The catalogue's pages are registered by then: ``routing`` stands before this app in the settings.
testing.offer()
