"""Where customers want to be told, what they were told of, and how each telling went."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.encryption import EncryptedTextField
from accounts.ids import PrefixedIdField
from accounts.models import MailedModel, TenantModel, TenantQuerySet


class EndpointQuerySet(TenantQuerySet):
    """Named filters on endpoints."""

    def wanting(self, kind: str) -> "EndpointQuerySet":
        """Those that are told of events of a kind; no list is every kind."""
        return self.filter(Q(events=[]) | Q(events__contains=[kind]), enabled=True)


class Endpoint(MailedModel, TenantModel):
    """An address of a customer. Its secret is shown once and encrypted at rest."""

    id = PrefixedIdField("whk")
    url = models.CharField(max_length=500)
    description = models.CharField(max_length=120, blank=True)
    events = ArrayField(
        models.CharField(max_length=40), default=list, blank=True,
        help_text="Kinds of events; empty means every kind, those to come too.",
    )  # fmt: skip
    secret = EncryptedTextField(editable=False)
    previous_secret = EncryptedTextField(blank=True, default="", editable=False)
    previous_until = models.DateTimeField(null=True, editable=False)
    enabled = models.BooleanField(default=True)
    failing_since = models.DateTimeField(null=True, editable=False)
    disabled_reason = models.CharField(max_length=200, blank=True, editable=False)
    notice_due = models.BooleanField(default=False, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = EndpointQuerySet.as_manager()  # type: ignore[misc]  # narrower than the base's

    class Meta:
        ordering = ["id"]
        verbose_name = "webhook endpoint"
        indexes = [
            models.Index(fields=["organization", "id"], name="endpoint_by_organization"),
            models.Index(fields=["id"], name="endpoint_notice", condition=Q(notice_due=True)),
        ]

    def __str__(self) -> str:
        return self.url


class Event(TenantModel):
    """Something that happened, as every endpoint of the organization is told of it."""

    id = PrefixedIdField("msg")
    kind = models.CharField(max_length=40)
    reference = models.CharField(
        max_length=120, blank=True, help_text="What makes a second telling of it the same."
    )
    data = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        verbose_name = "webhook event"
        indexes = [models.Index(fields=["created_at"], name="event_by_time")]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "kind", "reference"],
                condition=~Q(reference=""),
                name="event_told_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


class Delivery(TenantModel):
    """One event on its way to one endpoint."""

    class Status(models.TextChoices):
        PENDING = "pending", "Pending"
        SUCCEEDED = "succeeded", "Delivered"
        FAILED = "failed", "Failed"

    id = PrefixedIdField("dlv")
    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="deliveries")
    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="deliveries")
    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    attempts = models.PositiveIntegerField(
        default=0, help_text="Ever begun; whoever began the last one may say how it ended."
    )
    tries = models.PositiveIntegerField(default=0, help_text="Since it was last asked for.")
    next_try_at = models.DateTimeField(null=True, default=timezone.now)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "deliveries"
        indexes = [
            models.Index(
                fields=["next_try_at"], name="delivery_due", condition=Q(status="pending")
            ),
            models.Index(fields=["endpoint", "-id"], name="delivery_by_endpoint"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["endpoint", "event"], name="delivery_unique"),
            models.CheckConstraint(
                condition=Q(status__in=["pending", "succeeded", "failed"]),
                name="delivery_status_known",
            ),
            models.CheckConstraint(
                condition=Q(status="pending", next_try_at__isnull=False)
                | (~Q(status="pending") & Q(next_try_at=None)),
                name="delivery_pending_has_a_next_try",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event_id} to {self.endpoint_id} ({self.status})"

    @property
    def last_attempt(self) -> "Attempt | None":
        """The latest try whose end is known."""
        return max(self.log.all(), key=lambda attempt: attempt.number, default=None)


class Attempt(models.Model):
    """One try, and what came of it."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="log")
    number = models.PositiveIntegerField()
    at = models.DateTimeField()
    response_status = models.PositiveIntegerField(null=True)
    response_text = models.CharField(max_length=500, blank=True)
    error = models.CharField(max_length=300, blank=True)
    duration_ms = models.PositiveIntegerField()

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["delivery", "number"], name="attempt_unique")
        ]

    def __str__(self) -> str:
        return f"{self.delivery_id} #{self.number}"
