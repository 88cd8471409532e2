"""What Stripe told us, what it is still to be told, and what came out of comparing its books with ours."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models import TenantModel


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


class StripeInstruction(TenantModel):
    """The outbox: what Stripe is to do, decided in a transaction and done after it, until it is done."""

    class Kind(models.TextChoices):
        EXPIRE_PAGES = "expire_pages", "Expire the open payment pages"
        EXPIRE_PLAN_PAGES = "expire_plan_pages", "Expire the open pages for plans"
        END_SUBSCRIPTION = "end_subscription", "End the subscription and refund it"

    class Status(models.TextChoices):
        PENDING = "pending", "Pending"
        DONE = "done", "Done"
        REFUSED = "refused", "Refused by Stripe"

    kind = models.CharField(max_length=20, choices=Kind)
    subject = models.CharField(
        max_length=120, help_text="Stripe's id of a customer or subscription."
    )
    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    reason = models.CharField(max_length=200)
    since = models.DateTimeField(
        null=True, help_text="Only what was paid after it is refunded; empty means all."
    )
    refunded_nano = models.BigIntegerField(default=0)
    error = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    asked_at = models.DateTimeField(null=True, help_text="When Stripe was last asked to do it.")
    done_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = "instruction to Stripe"
        verbose_name_plural = "instructions to Stripe"
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject"],
                condition=~Q(status="done"),
                name="stripe_instruction_once",
            ),
        ]
        indexes = [
            models.Index(
                fields=["id"], condition=Q(status="pending"), name="stripe_instruction_pending"
            ),
            models.Index(fields=["subject"], name="stripe_instruction_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.subject}"


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
