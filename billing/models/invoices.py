"""Documents: monthly invoices, credit notes and receipts. Snapshots that nothing changes later."""

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from accounts.ids import PrefixedIdField
from accounts.models import TenantModel
from billing.models.payments import PlanPayment, TopUp


class Series(models.Model):
    """A gapless run of document numbers; its row is locked by whoever takes the next."""

    prefix = models.CharField(max_length=8, primary_key=True)
    last_number = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name_plural = "series"

    def __str__(self) -> str:
        return self.prefix


class Invoice(TenantModel):
    """A month of use, or the correction of one. Append-only.

    An invoice covers the ledger's entries from ``first_sequence`` to ``last_sequence``, so that no
    charge is ever on two, or on none. What was settled too late for its month is on the next, with
    its own month on the line.
    """

    class Kind(models.TextChoices):
        INVOICE = "invoice", "Invoice"
        CREDIT_NOTE = "credit_note", "Credit note"

    id = PrefixedIdField("inv")
    number = models.CharField(max_length=24, unique=True)
    kind = models.CharField(max_length=12, choices=Kind)
    period_start = models.DateField()
    period_end = models.DateField(help_text="The first day that is not in it.")
    first_sequence = models.BigIntegerField(null=True)
    last_sequence = models.BigIntegerField(null=True)
    requests = models.BigIntegerField(default=0)
    model_fees_nano = models.BigIntegerField()
    service_fees_nano = models.BigIntegerField()
    tax_nano = models.BigIntegerField(default=0)
    total_nano = models.BigIntegerField()
    profile = models.JSONField(default=dict, help_text="The billing profile as it was then.")
    corrects = models.ForeignKey(
        "self", null=True, on_delete=models.PROTECT, related_name="corrections"
    )
    reason = models.CharField(max_length=200, blank=True)
    issued_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-issued_at", "-number"]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "period_start"],
                condition=Q(kind="invoice"),
                name="invoice_one_per_period",
            ),
            models.CheckConstraint(
                condition=Q(
                    total_nano=F("model_fees_nano") + F("service_fees_nano") + F("tax_nano")
                ),
                name="invoice_total_is_the_sum",
            ),
            models.CheckConstraint(
                condition=Q(kind="invoice", corrects=None, first_sequence__isnull=False)
                | Q(kind="credit_note", corrects__isnull=False),
                name="invoice_credit_note_corrects",
            ),
        ]

    def __str__(self) -> str:
        return self.number


class InvoiceLine(TenantModel):
    """What one model at one provider and region came to in one month. Append-only."""

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="lines")
    month = models.DateField(help_text="The first day of the month of use.")
    model = models.CharField(max_length=120)
    provider = models.CharField(max_length=60)
    region = models.CharField(max_length=20)
    requests = models.BigIntegerField()
    components = models.JSONField(help_text="Unit, count and fee in nano-USD of each.")
    model_fee_nano = models.BigIntegerField()
    service_fee_nano = models.BigIntegerField()

    class Meta:
        ordering = ["month", "model", "provider", "region"]

    def __str__(self) -> str:
        return f"{self.model} on {self.invoice_id}"

    @property
    def total_nano(self) -> int:
        """Both fees."""
        return self.model_fee_nano + self.service_fee_nano


class Receipt(TenantModel):
    """That a card payment was received. Append-only."""

    id = PrefixedIdField("rec")
    number = models.CharField(max_length=24, unique=True)
    top_up = models.OneToOneField(
        TopUp, null=True, on_delete=models.PROTECT, related_name="receipt"
    )
    plan_payment = models.OneToOneField(
        PlanPayment, null=True, on_delete=models.PROTECT, related_name="receipt"
    )
    amount_nano = models.BigIntegerField()
    description = models.CharField(max_length=200)
    profile = models.JSONField(default=dict)
    issued_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-issued_at", "-number"]
        constraints = [
            models.CheckConstraint(
                condition=Q(top_up__isnull=False, plan_payment=None)
                | Q(top_up=None, plan_payment__isnull=False),
                name="receipt_of_one_payment",
            ),
        ]

    def __str__(self) -> str:
        return self.number
