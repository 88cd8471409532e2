"""The jobs, in the admin: how each last ran, and running one now; and what operators did."""

from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.admin import ReadOnlyAdmin
from tokenhub.celery import app
from tokenhub.operations.models import TaskRun


@admin.register(TaskRun)
class TaskRunAdmin(ReadOnlyAdmin):
    """How each job last ran."""

    list_display = [
        "task", "outcome", "started_at", "duration_ms", "result", "succeeded_at", "failed_at",
        "failures", "runs",
    ]  # fmt: skip
    list_filter = ["outcome"]
    search_fields = ["task"]
    actions = ["run_now"]

    @admin.action(description="Run now: a run more does no harm")
    def run_now(self, request: HttpRequest, queryset: QuerySet[TaskRun]) -> None:
        """Put them in the workers' queue."""
        for run in queryset:
            app.send_task(run.task, expires=60)
            self.log_change(request, run, "Run now")
            self.message_user(request, f"{run.task} is in the queue.", messages.SUCCESS)


@admin.register(LogEntry)
class DeedAdmin(ReadOnlyAdmin):
    """What every operator did here. What concerns a customer is in the customer's own trail, too."""

    list_display = ["action_time", "user", "content_type", "object_repr", "said"]
    list_select_related = ["user", "content_type"]
    list_filter = ["action_flag", "content_type"]
    search_fields = ["user__email", "object_repr", "object_id", "change_message"]
    date_hierarchy = "action_time"

    @admin.display(description="What")
    def said(self, obj: LogEntry) -> str:
        """Added, changed, deleted, or what the action was."""
        return obj.get_change_message() or obj.get_action_flag_display()
