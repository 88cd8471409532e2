"""An operator's change of a balance, with its reason, and with a second person where it is much."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from accounts.ids import PrefixedIdField
from accounts.models import TenantModel
from billing.money import usd_from_nano

# What one operator may add or take alone. It is in a constraint too: to change it is a migration.
ALONE_UP_TO_NANO = 100 * 1_000_000_000
MIN_REASON = 10


class Adjustment(TenantModel):
    """What somebody asked for and who decided it. An approved one has its transfer in the ledger."""

    class Status(models.TextChoices):
        PENDING = "pending", "Waits for another person"
        APPROVED = "approved", "Approved"
        REJECTED = "rejected", "Rejected"

    id = PrefixedIdField("adj")
    amount_nano = models.BigIntegerField(help_text="Positive adds to the balance, negative takes.")
    reason = models.CharField(max_length=200)
    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    requested_at = models.DateTimeField(default=timezone.now, editable=False)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    decided_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        permissions = [("decide_adjustment", "Can approve or reject another's adjustment")]
        indexes = [
            models.Index(
                fields=["requested_at"], condition=Q(status="pending"), name="adjustment_pending"
            )
        ]
        constraints = [
            models.CheckConstraint(condition=~Q(amount_nano=0), name="adjustment_of_something"),
            models.CheckConstraint(
                condition=Q(status="pending", decided_by=None, decided_at=None)
                | Q(
                    status__in=["approved", "rejected"],
                    decided_by__isnull=False,
                    decided_at__isnull=False,
                ),
                name="adjustment_decided_by_somebody",
            ),
            models.CheckConstraint(
                condition=~Q(status="approved")
                | Q(amount_nano__gte=-ALONE_UP_TO_NANO, amount_nano__lte=ALONE_UP_TO_NANO)
                | ~Q(decided_by=F("requested_by")),
                name="adjustment_of_much_takes_two",
            ),
        ]

    def __str__(self) -> str:
        return f"{usd_from_nano(self.amount_nano)} USD ({self.id})"
