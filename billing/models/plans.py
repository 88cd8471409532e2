"""Plans as dated versions, who is on which and since when, and what was agreed beyond (R1, R2).

Nothing here that has been in force is ever changed: what is charged today can be explained in ten
years. The rules stand in PostgreSQL too, in ``billing/sql``.
"""

from django.db import models
from django.db.models import F, Q
from django.db.models.lookups import Exact
from django.utils import timezone

from accounts.models import TenantModel

STARTER, PRO, ENTERPRISE = "starter", "pro", "enterprise"


class Plan(models.Model):
    """What a customer can be on. What it offers and costs is in its versions."""

    slug = models.SlugField(max_length=20, primary_key=True)
    name = models.CharField(max_length=40)
    rank = models.PositiveSmallIntegerField(unique=True, help_text="Higher plans include lower.")

    class Meta:
        ordering = ["rank"]

    def __str__(self) -> str:
        return self.name


class PlanVersion(models.Model):
    """What a plan offers and costs from an instant on, until its next version."""

    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="versions")
    effective_from = models.DateTimeField(default=timezone.now)
    rpm = models.PositiveIntegerField(help_text="Requests per minute of the whole organization.")
    concurrency = models.PositiveIntegerField(help_text="Requests under way at the same time.")
    monthly_price_nano = models.BigIntegerField(
        null=True, blank=True, help_text="Nano-USD; empty means by agreement."
    )
    fee_bps = models.PositiveIntegerField(help_text="Service fee in basis points; 300 is 3 %.")
    sla = models.CharField(max_length=80, blank=True)
    support_response = models.CharField(max_length=80, blank=True)
    compliance_extension = models.BooleanField(default=False)

    class Meta:
        ordering = ["plan", "-effective_from"]
        constraints = [
            models.UniqueConstraint(
                fields=["plan", "effective_from"], name="plan_version_one_an_instant"
            ),
            models.CheckConstraint(
                condition=Q(rpm__gt=0, concurrency__gt=0), name="plan_limits_positive"
            ),
            models.CheckConstraint(condition=Q(fee_bps__lte=10_000), name="plan_fee_at_most_all"),
            models.CheckConstraint(
                # Stripe charges in cents.
                condition=Q(monthly_price_nano=None)
                | Q(Q(monthly_price_nano__gte=0), Exact(F("monthly_price_nano") % 10_000_000, 0)),
                name="plan_price_in_whole_cents",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.plan_id} from {self.effective_from:%Y-%m-%d %H:%M} UTC"


class Subscription(TenantModel):
    """An organization on a paid plan, from an instant until another. Outside of any: Starter."""

    class Source(models.TextChoices):
        OPERATOR = "operator", "By an operator"
        STRIPE = "stripe", "By card"

    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="+")
    source = models.CharField(max_length=10, choices=Source)
    starts_at = models.DateTimeField(default=timezone.now)
    ends_at = models.DateTimeField(null=True, blank=True)
    stripe_id = models.CharField(max_length=80, unique=True, null=True, blank=True)
    note = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-starts_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_at=None) | Q(ends_at__gte=F("starts_at")),
                name="subscription_ends_after_it_starts",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.organization_id} on {self.plan_id}"


class Agreement(TenantModel):
    """What was agreed with one organization beyond its plan: a fee, a limit, until when, with whom."""

    fee_bps = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Service fee in basis points; 0 waives it, empty means the plan's.",
    )
    rpm = models.PositiveIntegerField(
        null=True, blank=True, help_text="Requests per minute; empty means the plan's."
    )
    concurrency = models.PositiveIntegerField(
        null=True, blank=True, help_text="Requests at the same time; empty means the plan's."
    )
    effective_from = models.DateTimeField(default=timezone.now)
    effective_until = models.DateTimeField(null=True, blank=True)
    agreed_by = models.CharField(
        max_length=120, help_text="Who agreed to it, on our side and on theirs."
    )
    reference = models.CharField(
        max_length=80, help_text="The contract or message that says so; shown to the customer."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-effective_from"]
        constraints = [
            models.CheckConstraint(
                condition=Q(fee_bps=None) | Q(fee_bps__lte=10_000),
                name="agreement_fee_at_most_all",
            ),
            models.CheckConstraint(
                condition=(Q(rpm=None) | Q(rpm__gt=0))
                & (Q(concurrency=None) | Q(concurrency__gt=0)),
                name="agreement_limits_positive",
            ),
            models.CheckConstraint(
                condition=Q(effective_until=None) | Q(effective_until__gte=F("effective_from")),
                name="agreement_ends_after_it_starts",
            ),
            models.CheckConstraint(
                condition=Q(fee_bps__isnull=False)
                | Q(rpm__isnull=False)
                | Q(concurrency__isnull=False),
                name="agreement_says_something",
            ),
            models.CheckConstraint(
                condition=~Q(agreed_by="") & ~Q(reference=""), name="agreement_has_a_witness"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reference} with {self.organization_id}"
