"""What Stripe told us, and what came out of comparing its books with ours."""

from django.db import models
from django.utils import timezone


class StripeEvent(models.Model):
    """The webhook inbox: each event once, with its effect in the same transaction."""

    class Status(models.TextChoices):
        PROCESSED = "processed", "Processed"
        IGNORED = "ignored", "Of no concern to us"
        FAILED = "failed", "Failed; Stripe sends it again"

    id = models.CharField(max_length=120, primary_key=True)
    type = models.CharField(max_length=80)
    status = models.CharField(max_length=10, choices=Status)
    deliveries = models.PositiveIntegerField(default=1)
    error = models.CharField(max_length=300, blank=True)
    payload = models.JSONField()
    created_at = models.DateTimeField(help_text="At Stripe.")
    received_at = models.DateTimeField(default=timezone.now)
    processed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-received_at"]
        indexes = [models.Index(fields=["-received_at"], name="stripe_event_by_time")]

    def __str__(self) -> str:
        return f"{self.type} {self.id}"


class Reconciliation(models.Model):
    """One comparison of Stripe's books with the ledger."""

    since = models.DateTimeField()
    started_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)
    payments = models.PositiveIntegerField(default=0, help_text="Payments at Stripe compared.")
    credited = models.PositiveIntegerField(
        default=0, help_text="Of them, credited now: no webhook had said so."
    )
    differences = models.JSONField(default=list, help_text="What neither side explains.")

    class Meta:
        ordering = ["-started_at"]

    def __str__(self) -> str:
        return f"reconciliation of {self.started_at:%Y-%m-%d %H:%M} UTC"
