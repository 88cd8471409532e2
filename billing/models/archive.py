"""Archived usage: what stays provable of a month whose rows are in a file. Append-only."""

from django.db import models
from django.utils import timezone

from accounts.models import TenantModel


class ArchivedMonth(models.Model):
    """A month whose rows are gone: the digest of the file that has them."""

    month = models.DateField(primary_key=True, help_text="Its first day.")
    digest = models.CharField(max_length=64, help_text="SHA-256 of the file's uncompressed lines.")
    archived_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-month"]

    def __str__(self) -> str:
        return f"{self.month:%Y-%m}"


class ArchivedUsage(TenantModel):
    """What an organization's rows of an archived month came to; fees are those of billed requests."""

    month = models.ForeignKey(
        ArchivedMonth, on_delete=models.PROTECT, db_column="month", related_name="sums"
    )
    requests = models.BigIntegerField()
    billed = models.BigIntegerField()
    model_fee_nano = models.BigIntegerField()
    service_fee_nano = models.BigIntegerField()

    class Meta:
        ordering = ["month"]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "month"], name="archived_usage_once_a_month"
            )
        ]

    def __str__(self) -> str:
        return f"{self.month_id:%Y-%m} of {self.organization_id}"
