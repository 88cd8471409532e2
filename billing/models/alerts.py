"""What an organization wants to be told about its money, and what it was told."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models import MailedModel, TenantModel

LOW_BALANCE_NANO = 5_000_000_000


class Budget(TenantModel):
    """When to tell an organization: below a balance, and at shares of a month's spend."""

    low_balance_nano = models.BigIntegerField(null=True, default=LOW_BALANCE_NANO)
    monthly_nano = models.BigIntegerField(null=True)
    monthly_is_hard = models.BooleanField(
        default=False, help_text="Whether calls are refused once the month's budget is spent."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization"], name="budget_one_per_tenant"),
            models.CheckConstraint(
                condition=(Q(low_balance_nano=None) | Q(low_balance_nano__gt=0))
                & (Q(monthly_nano=None) | Q(monthly_nano__gt=0)),
                name="budget_amounts_positive",
            ),
            models.CheckConstraint(
                condition=Q(monthly_is_hard=False) | Q(monthly_nano__isnull=False),
                name="budget_hard_needs_an_amount",
            ),
        ]

    def __str__(self) -> str:
        return f"budget of {self.organization_id}"


class Alert(MailedModel, TenantModel):
    """One thing said once: in the console until dismissed, and by mail."""

    class Kind(models.TextChoices):
        LOW_BALANCE = "low_balance", "Low balance"
        BUDGET = "budget", "Budget"
        AUTOMATIC_TOP_UP = "automatic_top_up", "Automatic top-up failed"
        DISPUTE = "dispute", "Disputed payment"
        PLAN_PAYMENT = "plan_payment", "Plan payment failed"
        PLAN_REFUND = "plan_refund", "Plan payment sent back"
        INVOICE = "invoice", "Invoice"
        KEY_LEAKED = "key_leaked", "Leaked key"

    kind = models.CharField(max_length=20, choices=Kind)
    threshold = models.BigIntegerField(help_text="Nano-USD or per cent, by kind.")
    window = models.CharField(
        max_length=80, help_text="What it may be said once in: a month, a refill, an object."
    )
    message = models.CharField(max_length=300)
    created_at = models.DateTimeField(default=timezone.now)
    mailed_at = models.DateTimeField(null=True)
    dismissed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "kind", "threshold", "window"], name="alert_said_once"
            ),
        ]
        indexes = [
            models.Index(fields=["id"], condition=Q(mailed_at=None), name="alert_not_mailed"),
            models.Index(fields=["kind"], condition=Q(dismissed_at=None), name="alert_open"),
        ]

    def __str__(self) -> str:
        return self.message
