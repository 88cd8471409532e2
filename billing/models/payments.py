"""Money that comes in by card, and goes back: customers, cards, top-ups, refunds, disputes.

What Stripe knows better (card numbers, payment states) stays there; here is what we owe for it.
"""

from datetime import datetime

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from accounts.ids import PrefixedIdField
from accounts.models import TenantModel, User
from billing.models.plans import Subscription


class BillingProfile(TenantModel):
    """Who the invoices are made out to. Applies to every document, automatic top-ups included."""

    legal_name = models.CharField(max_length=160, blank=True)
    line1 = models.CharField("address", max_length=160, blank=True)
    line2 = models.CharField("address, second line", max_length=160, blank=True)
    postal_code = models.CharField(max_length=20, blank=True)
    city = models.CharField(max_length=80, blank=True)
    country = models.CharField(max_length=60, blank=True)
    tax_id = models.CharField("tax ID", max_length=40, blank=True)
    po_number = models.CharField("PO number", max_length=40, blank=True)
    email = models.EmailField(
        "invoices by e-mail to", blank=True, help_text="In addition to Owners, Admins and Billing."
    )
    stripe_customer_id = models.CharField(max_length=80, unique=True, null=True, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization"], name="billing_profile_one_per_tenant"),
        ]

    def __str__(self) -> str:
        return self.legal_name or str(self.organization_id)

    def snapshot(self) -> dict[str, str]:
        """What a document keeps of it."""
        names = (
            "legal_name", "line1", "line2", "postal_code", "city", "country", "tax_id", "po_number",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}


class PaymentMethod(TenantModel):
    """A card that Stripe keeps for an organization."""

    stripe_id = models.CharField(max_length=80, unique=True)
    brand = models.CharField(max_length=20)
    last4 = models.CharField(max_length=4)
    exp_month = models.PositiveSmallIntegerField()
    exp_year = models.PositiveSmallIntegerField()
    created_at = models.DateTimeField(default=timezone.now)
    removed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["created_at"]

    def __str__(self) -> str:
        return f"{self.brand.title()} ending in {self.last4}"


class AutomaticTopUp(TenantModel):
    """When and how the balance refills itself, and what stands in the way of it."""

    class Problem(models.TextChoices):
        NONE = "", "None"
        DECLINED = "declined", "The card was declined"
        AUTHENTICATION = "authentication_required", "The bank wants you to confirm"
        NO_CARD = "no_card", "No card is saved"
        CAP = "cap_reached", "The monthly limit is reached"

    enabled = models.BooleanField(default=False)
    threshold_nano = models.BigIntegerField()
    amount_nano = models.BigIntegerField()
    monthly_cap_nano = models.BigIntegerField()
    payment_method = models.ForeignKey(PaymentMethod, null=True, on_delete=models.SET_NULL)
    problem = models.CharField(max_length=30, choices=Problem, blank=True)
    paused_until = models.DateTimeField(null=True, help_text="Cool-off after a failure.")
    failures = models.PositiveSmallIntegerField(default=0, help_text="In a row.")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization"], name="automatic_top_up_one_per_tenant"
            ),
            models.CheckConstraint(
                condition=Q(
                    threshold_nano__gt=0,
                    amount_nano__gt=0,
                    monthly_cap_nano__gte=F("amount_nano"),
                ),
                name="automatic_top_up_amounts_make_sense",
            ),
        ]

    @property
    def rests_until(self) -> datetime | None:
        """Until when it is not tried again after a failure; ``None`` where nothing is waited for any more."""
        if self.paused_until is None or self.paused_until <= timezone.now():
            return None
        return self.paused_until

    def __str__(self) -> str:
        return f"automatic top-up of {self.organization_id}"


class TopUp(TenantModel):
    """One payment into the balance, from the wish to the money; credited once, whoever hears first."""

    class Source(models.TextChoices):
        CHECKOUT = "checkout", "Top-up"
        AUTOMATIC = "automatic", "Automatic top-up"

    class Status(models.TextChoices):
        PENDING = "pending", "Pending"
        SUCCEEDED = "succeeded", "Succeeded"
        FAILED = "failed", "Failed"
        REFUNDED = "refunded", "Refunded"

    id = PrefixedIdField("top")
    source = models.CharField(max_length=10, choices=Source)
    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    amount_nano = models.BigIntegerField()
    fee_nano = models.BigIntegerField(default=0, help_text="Paid on top; none is charged today.")
    refunded_nano = models.BigIntegerField(default=0)
    save_card = models.BooleanField(default=False)
    failure = models.CharField(max_length=200, blank=True)
    checkout_url = models.TextField(blank=True)
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    settled_at = models.DateTimeField(null=True)
    asked_at = models.DateTimeField(
        null=True, help_text="When Stripe was last asked how it stands."
    )
    stripe_session_id = models.CharField(max_length=120, unique=True, null=True)
    stripe_payment_intent_id = models.CharField(max_length=120, unique=True, null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(amount_nano__gt=0, fee_nano__gte=0, refunded_nano__gte=0)
                & Q(refunded_nano__lte=F("amount_nano")),
                name="top_up_amounts_make_sense",
            ),
            models.UniqueConstraint(
                fields=["organization"],
                condition=Q(source="automatic", status="pending"),
                name="top_up_one_automatic_open",
            ),
        ]
        indexes = [
            models.Index(
                fields=["created_at"], condition=Q(status="pending"), name="top_up_pending"
            ),
            models.Index(fields=["organization", "-id"], name="top_up_by_tenant"),
        ]

    def __str__(self) -> str:
        return str(self.id)


class Refund(TenantModel):
    """Unused money on its way back to the card it came from.

    One made at Stripe itself may be more than is there: the rest is withheld from later money.
    """

    class Status(models.TextChoices):
        PENDING = "pending", "Pending"
        SUCCEEDED = "succeeded", "Refunded"
        FAILED = "failed", "Failed; back on the balance"

    id = PrefixedIdField("refund")
    top_up = models.ForeignKey(TopUp, on_delete=models.PROTECT, related_name="refunds")
    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    amount_nano = models.BigIntegerField()
    collected_nano = models.BigIntegerField(
        help_text="What the balance gave for it; less only where it was made at Stripe itself."
    )
    reason = models.CharField(max_length=200, blank=True)
    stripe_id = models.CharField(max_length=120, unique=True, null=True)
    created_at = models.DateTimeField(default=timezone.now)
    asked_at = models.DateTimeField(null=True, help_text="When Stripe was last asked for it.")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(amount_nano__gt=0, collected_nano__gte=0)
                & Q(collected_nano__lte=F("amount_nano")),
                name="refund_collects_at_most_itself",
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)


class Dispute(TenantModel):
    """A payment that the cardholder's bank contests. Withheld while open; taken when lost.

    What the balance could not give when it was lost stays withheld from later money.
    """

    class Status(models.TextChoices):
        OPEN = "open", "Open: the amount is withheld"
        WON = "won", "Won: the amount is free again"
        LOST = "lost", "Lost: the amount was taken back"

    id = PrefixedIdField("dispute")
    top_up = models.ForeignKey(TopUp, on_delete=models.PROTECT, related_name="disputes")
    stripe_id = models.CharField(max_length=120, unique=True)
    status = models.CharField(max_length=10, choices=Status, default=Status.OPEN)
    amount_nano = models.BigIntegerField()
    collected_nano = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)
    closed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(amount_nano__gt=0, collected_nano__gte=0)
                & Q(collected_nano__lte=F("amount_nano"))
                & (Q(status="lost") | Q(collected_nano=0)),
                name="dispute_collects_only_when_lost",
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)


class PlanPayment(TenantModel):
    """A card payment for a plan, as Stripe's invoice of the subscription says."""

    id = PrefixedIdField("payment")
    subscription = models.ForeignKey(
        Subscription, on_delete=models.PROTECT, related_name="payments"
    )
    stripe_invoice_id = models.CharField(max_length=120, unique=True)
    amount_nano = models.BigIntegerField()
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    paid_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(amount_nano__gt=0), name="plan_payment_positive"),
        ]

    def __str__(self) -> str:
        return str(self.id)
