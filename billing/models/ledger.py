"""The double-entry ledger and balance leases.

Amounts are nano-USD. What PostgreSQL itself refuses is in ``billing/sql`` and the migrations.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from accounts.ids import PrefixedIdField
from accounts.models import TenantModel
from billing.money import usd_from_nano


class Account(TenantModel):
    """One side of the ledger. The four accounts of an organization always sum to zero."""

    class Kind(models.TextChoices):
        WALLET = "wallet", "Balance"
        FUNDING = "funding", "Top-ups"
        CREDIT = "credit", "Operators' credits"
        REVENUE = "revenue", "Charges"

    kind = models.CharField(max_length=10, choices=Kind)
    balance_nano = models.BigIntegerField(default=0)
    leased_nano = models.BigIntegerField(
        default=0, help_text="Of a wallet: what open leases have not spent yet."
    )
    frozen_nano = models.BigIntegerField(
        default=0,
        help_text="Of a wallet: what disputes and refunds made at Stripe withhold from new calls;"
        " may exceed what is there.",
    )
    sequence = models.BigIntegerField(
        default=0, help_text="Of a wallet: the number of its latest transfer."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "kind"], name="account_unique"),
            models.CheckConstraint(
                condition=Q(kind__in=["wallet", "funding", "credit", "revenue"]),
                name="account_kind_known",
            ),
            models.CheckConstraint(
                condition=~Q(kind="wallet") | Q(balance_nano__gte=F("leased_nano")),
                name="wallet_never_oversold",
            ),
            models.CheckConstraint(
                condition=Q(leased_nano__gte=0, frozen_nano__gte=0),
                name="account_leased_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.organization_id}"


class Transfer(TenantModel):
    """A movement from one account of an organization (debited) to another (credited). Append-only.

    One side is always the wallet. ``reference`` is unique per organization: applying a transfer
    twice is applying it once. ``hash`` chains each entry to the one before (``billing/sql``), so
    that an exported statement can be verified without us.
    """

    class Kind(models.TextChoices):
        TOP_UP = "top_up", "Top-up"
        CREDIT = "credit", "Credit"
        USAGE = "usage", "Usage"
        REVERSAL = "reversal", "Reversal"
        CORRECTION = "correction", "Credit note"
        REFUND = "refund", "Refund"
        DISPUTE = "dispute", "Lost dispute"
        ADJUSTMENT = "adjustment", "Adjustment"

    kind = models.CharField(max_length=10, choices=Kind)
    debit_account = models.CharField(max_length=10, choices=Account.Kind)
    credit_account = models.CharField(max_length=10, choices=Account.Kind)
    amount_nano = models.BigIntegerField()
    balance_after_nano = models.BigIntegerField(help_text="Of the wallet.")
    sequence = models.BigIntegerField(help_text="1, 2, 3 … within the organization, no gaps.")
    reference = models.CharField(max_length=100)
    description = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    hash = models.BinaryField(
        editable=False, db_default=b"", help_text="Set by the database, whoever writes."
    )

    class Meta:
        ordering = ["-sequence"]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "sequence"], name="transfer_sequence_unique"
            ),
            models.UniqueConstraint(
                fields=["organization", "reference"], name="transfer_reference_unique"
            ),
            models.CheckConstraint(condition=Q(amount_nano__gt=0), name="transfer_amount_positive"),
            models.CheckConstraint(
                condition=(Q(debit_account="wallet") & ~Q(credit_account="wallet"))
                | (~Q(debit_account="wallet") & Q(credit_account="wallet")),
                name="transfer_has_the_wallet_on_one_side",
            ),
            models.CheckConstraint(
                condition=Q(balance_after_nano__gte=0), name="transfer_leaves_no_debt"
            ),
            models.CheckConstraint(
                # The chain separates its fields by bars.
                condition=~Q(reference__contains="|"),
                name="transfer_reference_has_no_bar",
            ),
        ]
        indexes = [
            # A few of many: an organization's latest refill is found without its calls.
            models.Index(
                fields=["organization", "sequence"],
                condition=Q(kind__in=["top_up", "credit"]),
                name="transfer_refills",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.reference}: {usd_from_nano(self.signed_nano)} USD"

    @property
    def signed_nano(self) -> int:
        """What it did to the wallet: positive for money in, negative for a charge."""
        return self.amount_nano if self.credit_account == "wallet" else -self.amount_nano


class Lease(TenantModel):
    """Money set aside for one gateway process, spent there from memory.

    Past ``expires_at`` it may be closed by anyone; what was not spent is then available again.
    """

    id = PrefixedIdField("lease")
    holder = models.CharField(max_length=80, help_text="The gateway process, by host and instance.")
    granted_nano = models.BigIntegerField()
    spent_nano = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(spent_nano__gte=0) & Q(spent_nano__lte=F("granted_nano")),
                name="lease_spends_what_was_granted",
            ),
        ]
        indexes = [
            models.Index(
                fields=["expires_at"], condition=Q(closed_at=None), name="lease_open_by_expiry"
            ),
            models.Index(
                fields=["organization"], condition=Q(closed_at=None), name="lease_open_by_tenant"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.id} of {self.holder}"


class Settlement(models.Model):
    """A group of results that was settled in one transaction; makes a repeated group harmless."""

    id = models.UUIDField(primary_key=True)
    refused = ArrayField(models.UUIDField(), default=list)
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return str(self.id)
