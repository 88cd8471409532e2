"""Usage: every request, with its price and its routing decision."""

from django.db import models

from accounts.ids import PrefixedIdField
from accounts.models import TenantModel


class Usage(TenantModel):
    """One request, billed or not, with its price, its attempts and its routing decision.

    Partitioned by month through the time in its id. Names and prices are copied here, so history
    does not change when the catalogue does. Prompts and answers are never stored.
    """

    class Status(models.TextChoices):
        SUCCEEDED = "succeeded", "Succeeded"
        FAILED = "failed", "Failed"

    id = PrefixedIdField("req")
    key_id = models.UUIDField()
    key_name = models.CharField(max_length=80)
    created_at = models.DateTimeField()
    status = models.CharField(max_length=10, choices=Status)
    billed = models.BooleanField()
    error_code = models.CharField(max_length=40, blank=True)
    dialect = models.CharField(max_length=20)
    modality = models.CharField(max_length=12)
    model_requested = models.CharField(max_length=160)
    model = models.CharField(max_length=120)
    provider = models.CharField(max_length=60)
    region = models.CharField(max_length=20)
    stream = models.BooleanField()
    units = models.JSONField(default=dict, help_text="Disjoint counts by unit.")
    lines = models.JSONField(
        default=list, help_text="Unit, count, price and fee of each component."
    )
    model_fee_nano = models.BigIntegerField(default=0)
    service_fee_nano = models.BigIntegerField(default=0)
    service_fee_bps = models.IntegerField(default=0)
    service_fee_source = models.CharField(
        max_length=40, blank=True, help_text="plan:<version> or agreement:<id>."
    )
    total_nano = models.BigIntegerField(default=0)
    capped = models.BooleanField(default=False, help_text="The charge was limited to the hold.")
    price_version = models.BigIntegerField(null=True)
    attempts = models.JSONField(default=list)
    routing = models.JSONField(default=dict)
    latency_ms = models.IntegerField(default=0)
    first_token_ms = models.IntegerField(null=True)
    session_id = models.CharField(max_length=200, blank=True)

    class Meta:
        managed = False
        db_table = "billing_usage"
        ordering = ["-id"]
        verbose_name_plural = "usage"

    def __str__(self) -> str:
        return str(self.id)


class UsageDay(TenantModel):
    """What one key used of one offering on one day in UTC; written by the database with the usage itself.

    Tokens and fees count what was billed. ``latency_ms`` is the sum over all requests.
    """

    day = models.DateField()
    model = models.CharField(max_length=160)
    provider = models.CharField(max_length=60)
    region = models.CharField(max_length=20)
    modality = models.CharField(max_length=12)
    key_id = models.UUIDField()
    key_name = models.CharField(max_length=80)
    requests = models.BigIntegerField()
    failed = models.BigIntegerField()
    billed = models.BigIntegerField()
    input_tokens = models.BigIntegerField()
    cached_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()
    model_fee_nano = models.BigIntegerField()
    service_fee_nano = models.BigIntegerField()
    latency_ms = models.BigIntegerField()

    class Meta:
        ordering = ["day"]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "day", "model", "provider", "region", "modality", "key_id"],
                name="usage_day_unique",
            )
        ]
        indexes = [models.Index(fields=["key_id", "day"], name="usage_day_by_key")]

    def __str__(self) -> str:
        return f"{self.day} {self.model} {self.provider}"
