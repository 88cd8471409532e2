"""API keys. The secret itself is never stored: only its keyed digest and what is needed to recognise it."""

from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.ids import PrefixedIdField
from accounts.models import TenantModel, TenantQuerySet
from keys.budgets import Budget


class ApiKeyQuerySet(TenantQuerySet):
    """Named filters on keys."""

    def active(self) -> "ApiKeyQuerySet":
        """Neither revoked nor expired."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()), revoked_at=None)


_AllKeys = models.Manager.from_queryset(ApiKeyQuerySet)


class CustomersKeys(_AllKeys["ApiKey"]):
    """Only keys that a customer made; what pages and programs list, count and change."""

    def get_queryset(self) -> "models.QuerySet[ApiKey]":
        """Without the platform's own."""
        return super().get_queryset().filter(purpose=ApiKey.Purpose.CUSTOMER)


class ApiKey(TenantModel):
    """A program's credential. Empty allow-lists set no limit; what is listed is a hard boundary."""

    class Purpose(models.TextChoices):
        CUSTOMER = "customer", "Made by a customer"
        PLAYGROUND = "playground", "The console's playground"

    class Kind(models.TextChoices):
        INFERENCE = "inference", "Inference"
        MANAGEMENT = "management", "Management"

    class Scope(models.TextChoices):
        READ = "read", "Read"
        WRITE = "write", "Write"
        BILLING = "billing", "Billing"

    class Period(models.TextChoices):
        DAY = "day", "a day"
        WEEK = "week", "a week"
        MONTH = "month", "a month"
        TOTAL = "total", "in total"

    id = PrefixedIdField("key")
    kind = models.CharField(max_length=12, choices=Kind, default=Kind.INFERENCE)
    purpose = models.CharField(
        max_length=12, choices=Purpose, default=Purpose.CUSTOMER, editable=False
    )
    name = models.CharField(max_length=80)
    digest = models.BinaryField(
        max_length=32, unique=True, editable=False, help_text="HMAC-SHA256 of the secret."
    )
    prefix = models.CharField(max_length=12, editable=False)
    last4 = models.CharField(max_length=4, editable=False)
    scopes = ArrayField(models.CharField(max_length=16, choices=Scope), default=list, blank=True)
    allowed_models = ArrayField(models.CharField(max_length=120), default=list, blank=True)
    allowed_providers = ArrayField(models.CharField(max_length=60), default=list, blank=True)
    allowed_regions = ArrayField(models.CharField(max_length=20), default=list, blank=True)
    ip_allowlist = ArrayField(
        models.CharField(max_length=50),
        default=list,
        blank=True,
        help_text="Addresses or CIDR networks that may use the key; empty means any.",
    )
    rpm = models.PositiveIntegerField(
        null=True, blank=True, help_text="Requests per minute of this key; empty means the plan's."
    )
    budget_nano = models.BigIntegerField(
        null=True, blank=True, help_text="What may be spent in each period; empty means no budget."
    )
    budget_period = models.CharField(max_length=8, choices=Period, default="", blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    maker = models.ForeignKey(
        "self", null=True, on_delete=models.SET_NULL, related_name="+", editable=False,
        db_index=False,  # below, where it can be made concurrently
        help_text="The management key whose budget this key's spending counts for; nobody: made by people.",
    )  # fmt: skip
    rotated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", editable=False,
        help_text="Who was shown the present secret; nobody: who created the key.",
    )  # fmt: skip
    rotated_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)

    objects: ClassVar = CustomersKeys()
    with_hidden: ClassVar = _AllKeys()

    class Meta:
        ordering = ["-id"]
        verbose_name = "API key"
        indexes = [
            models.Index(fields=["organization", "-id"], name="key_by_organization"),
            models.Index(fields=["maker"], name="key_by_maker", condition=Q(maker__isnull=False)),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=["inference", "management"]), name="key_kind_known"
            ),
            models.CheckConstraint(condition=Q(rpm=None) | Q(rpm__gt=0), name="key_rpm_positive"),
            models.CheckConstraint(
                condition=Q(purpose="customer") | Q(purpose="playground", kind="inference"),
                name="key_purpose_known",
            ),
            models.UniqueConstraint(
                fields=["organization"],
                condition=Q(purpose="playground", revoked_at=None),
                name="key_one_playground",
            ),
            models.CheckConstraint(
                condition=Q(budget_nano=None, budget_period="")
                | Q(
                    budget_nano__isnull=False,
                    budget_nano__gt=0,
                    budget_period__in=["day", "week", "month", "total"],
                ),
                name="key_budget_whole",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.label})"

    @property
    def label(self) -> str:
        """What may be shown of the secret."""
        return f"{self.prefix}…{self.last4}"

    @property
    def budget(self) -> Budget | None:
        """How much it may spend, and how often anew."""
        if self.budget_nano is None:
            return None
        return Budget(self.budget_nano, self.budget_period)

    @property
    def status(self) -> str:
        """``active``, ``expired`` or ``revoked``."""
        if self.revoked_at is not None:
            return "revoked"
        return "active" if self.is_active else "expired"

    @property
    def is_active(self) -> bool:
        """Whether calls with this key are accepted now."""
        return self.revoked_at is None and (
            self.expires_at is None or self.expires_at > timezone.now()
        )


class RetiredSecret(TenantModel):
    """A secret that was rotated out: the key goes on to answer to it until its grace ends, and never after."""

    key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="retired_secrets")
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    prefix = models.CharField(max_length=12, editable=False)
    last4 = models.CharField(max_length=4, editable=False)
    retired_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(help_text="The end of the grace period.")
    shown_to = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", editable=False,
        db_index=False,  # below, where it can be made concurrently
        help_text="Who was shown this secret; nobody: who created the key.",
    )  # fmt: skip

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(expires_at__gte=models.F("retired_at")),
                name="retired_before_it_expires",
            ),
        ]
        indexes = [models.Index(fields=["shown_to"], name="retired_secret_shown_to")]

    def __str__(self) -> str:
        return f"{self.label} of {self.key_id}"

    @property
    def label(self) -> str:
        """What may be shown of the secret."""
        return f"{self.prefix}…{self.last4}"

    @property
    def is_accepted(self) -> bool:
        """Whether its grace lasts."""
        return self.expires_at > timezone.now()
