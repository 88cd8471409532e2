"""Media tasks: a video on its way at a provider, with its price fixed and its money held from the beginning."""

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from accounts.ids import PrefixedIdField
from accounts.models import TenantModel


class MediaTask(TenantModel):
    """One video: pending → running → succeeded or failed. Its usage row and its lease have the same UUID.

    What PostgreSQL refuses, whoever writes, is in ``billing/sql``: a task ends once, with its usage
    on record; its owner, hold and deadline never change, its provider and price once at most.
    Prompts are not stored; the address of the result is, until it is no use any more.
    """

    class Status(models.TextChoices):
        PENDING = "pending", "Pending"
        RUNNING = "running", "Running"
        SUCCEEDED = "succeeded", "Succeeded"
        FAILED = "failed", "Failed"

    OPEN = (Status.PENDING, Status.RUNNING)

    id = PrefixedIdField("task")
    key_id = models.UUIDField()
    key_name = models.CharField(max_length=80)
    created_at = models.DateTimeField(default=timezone.now)
    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    shape = models.CharField(max_length=20, help_text="The dialect the client asked in.")
    modality = models.CharField(max_length=12, default="video")
    model_requested = models.CharField(max_length=160)
    model = models.CharField(max_length=120, blank=True)
    provider = models.CharField(max_length=60, blank=True)
    region = models.CharField(max_length=20, blank=True)
    dialect = models.CharField(max_length=12, blank=True, help_text="Of the provider.")
    offering = models.BigIntegerField(null=True, help_text="How the provider is reached again.")
    upstream_id = models.CharField(
        max_length=200, blank=True, help_text="The provider's name for it; empty until it has one."
    )
    credential = models.CharField(
        max_length=12,
        blank=True,
        help_text="Fingerprint of the one that began it: it may be asked for with no other.",
    )
    seconds = models.IntegerField()
    resolution = models.CharField(max_length=10, help_text="720p or 1080p, as it is priced.")
    size = models.CharField(max_length=20, blank=True, help_text="As the client asked for it.")
    price_version = models.BigIntegerField(null=True)
    price = models.JSONField(default=dict, help_text="Nano-USD by unit, from the decision on.")
    service_fee_bps = models.IntegerField(default=0)
    service_fee_source = models.CharField(max_length=40, blank=True)
    hold_nano = models.BigIntegerField(help_text="The most that any provider tried could charge.")
    quoted_nano = models.BigIntegerField(default=0, help_text="What a success costs, at most.")
    total_nano = models.BigIntegerField(default=0, help_text="What was charged.")
    attempts = models.JSONField(default=list)
    routing = models.JSONField(default=dict)
    session_id = models.CharField(max_length=200, blank=True)
    deadline_at = models.DateTimeField()
    next_poll_at = models.DateTimeField()
    polls = models.IntegerField(default=0)
    finished_at = models.DateTimeField(null=True)
    error_code = models.CharField(max_length=40, blank=True)
    error_message = models.CharField(max_length=500, blank=True)
    media_url = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=["pending", "running", "succeeded", "failed"]),
                name="mediatask_status_known",
            ),
            models.CheckConstraint(
                condition=Q(hold_nano__gt=0)
                & Q(total_nano__gte=0)
                & Q(quoted_nano__gte=0)
                & Q(quoted_nano__lte=F("hold_nano"))
                & Q(total_nano__lte=F("quoted_nano")),
                name="mediatask_charges_at_most_the_quote",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["pending", "running"], finished_at=None)
                | Q(status__in=["succeeded", "failed"], finished_at__isnull=False),
                name="mediatask_finished_when_ended",
            ),
            models.CheckConstraint(
                condition=Q(status="succeeded") | Q(total_nano=0, media_url=""),
                name="mediatask_only_success_is_charged",
            ),
            models.CheckConstraint(
                condition=~Q(status="running") | ~Q(upstream_id=""),
                name="mediatask_runs_somewhere",
            ),
            models.CheckConstraint(condition=Q(seconds__gt=0), name="mediatask_has_a_length"),
        ]
        indexes = [
            models.Index(
                fields=["next_poll_at"],
                condition=Q(status__in=["pending", "running"]),
                name="mediatask_open_by_poll",
            ),
            models.Index(fields=["organization", "-id"], name="mediatask_by_tenant"),
        ]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def request_id(self) -> str:
        """The request that created it: its usage row, once it has ended."""
        return f"req_{str(self.id).removeprefix('task_')}"

    @property
    def open(self) -> bool:
        """Whether it may still end."""
        return self.status in self.OPEN
