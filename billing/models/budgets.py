"""Shares of a budget that gateway processes hold: what makes a budget hard with any number of them."""

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from accounts.ids import PrefixedIdField
from accounts.models import TenantModel


class BudgetLease(TenantModel):
    """Part of one period's budget set aside for one gateway process, as a lease is of the balance.

    What was spent is never counted here but by the usage itself (``UsageDay``). Past ``expires_at`` it
    may be closed by anyone.
    """

    id = PrefixedIdField("share")
    subject = models.UUIDField(help_text="The key, or the organization itself.")
    limit_nano = models.BigIntegerField(help_text="The budget as it was when this was drawn.")
    first = models.DateField(help_text="The period's first day in UTC.")
    until = models.DateField(null=True, help_text="The day after its last; empty for a total.")
    holder = models.CharField(max_length=80)
    granted_nano = models.BigIntegerField()
    spent_nano = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(spent_nano__gte=0) & Q(spent_nano__lte=F("granted_nano")),
                name="budget_lease_spends_what_was_granted",
            ),
        ]
        indexes = [
            models.Index(
                fields=["expires_at"],
                condition=Q(closed_at=None),
                name="budget_lease_open_by_expiry",
            ),
            models.Index(
                fields=["subject"], condition=Q(closed_at=None), name="budget_lease_open_by_subject"
            ),
            models.Index(fields=["closed_at"], name="budget_lease_by_closing"),
        ]

    def __str__(self) -> str:
        return f"{self.id} of {self.holder}"
