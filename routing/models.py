"""The catalogue (who offers which model where, at what price) and the boundaries customers set on it."""

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from accounts.encryption import EncryptedTextField
from accounts.models import TenantModel


class Region(models.Model):
    """Where data is processed, as customers choose it."""

    slug = models.SlugField(max_length=20, primary_key=True)
    name = models.CharField(max_length=60)

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.name


class Certification(models.TextChoices):
    """What a provider can be certified for; customers may require it."""

    SOC2 = "soc2", "SOC 2"
    ISO27001 = "iso27001", "ISO 27001"
    HIPAA = "hipaa", "HIPAA"
    GDPR_DPA = "gdpr_dpa", "GDPR data processing agreement"


class DataPolicy(models.TextChoices):
    """What a provider may do with data; customers may require it. Unknown never satisfies."""

    ZERO_RETENTION = "zero_retention", "Zero data retention"
    NO_TRAINING = "no_training", "No training on customer data"


class Provider(models.Model):
    """A company that runs models."""

    class Dialect(models.TextChoices):
        OPENAI = "openai", "OpenAI"
        ANTHROPIC = "anthropic", "Anthropic"
        DASHSCOPE = "dashscope", "DashScope"

    slug = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=80)
    zero_retention = models.BooleanField(null=True, help_text="Empty means unknown.")
    no_training = models.BooleanField(null=True, help_text="Empty means unknown.")
    certifications = ArrayField(
        models.CharField(max_length=20, choices=Certification), default=list, blank=True
    )
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.name


class Endpoint(models.Model):
    """Where and how a provider is reached in one region, in one dialect."""

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="endpoints")
    region = models.ForeignKey(Region, on_delete=models.PROTECT, related_name="endpoints")
    dialect = models.CharField(max_length=12, choices=Provider.Dialect)
    base_url = models.URLField(
        max_length=300, help_text="Everything before the dialect's own path, without a final slash."
    )
    credential = EncryptedTextField(
        blank=True, help_text="Encrypted at rest; it can be replaced but never read back."
    )

    class Meta:
        ordering = ["provider", "region", "dialect"]
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "region", "dialect"], name="endpoint_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.region_id} ({self.dialect})"


class SpareCredential(models.Model):
    """A further credential of an endpoint: used, in this order, where the ones before are refused or limited."""

    endpoint = models.ForeignKey(
        Endpoint, on_delete=models.CASCADE, related_name="spare_credentials"
    )
    position = models.PositiveSmallIntegerField(default=1)
    label = models.CharField(max_length=60, blank=True, help_text="For operators: whose it is.")
    secret = EncryptedTextField(
        help_text="Encrypted at rest; it can be replaced but never read back."
    )
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ["endpoint", "position", "id"]

    def __str__(self) -> str:
        return self.label or f"credential {self.position}"


class CredentialAlarm(models.Model):
    """A provider refuses a credential of ours. The fingerprint names it; the credential itself is not here."""

    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="alarms")
    fingerprint = models.CharField(max_length=12)
    status = models.PositiveSmallIntegerField(help_text="What the provider answered.")
    first_at = models.DateTimeField(default=timezone.now)
    last_at = models.DateTimeField(default=timezone.now)
    mailed_at = models.DateTimeField(null=True)
    cleared_at = models.DateTimeField(null=True, help_text="It works again, or was replaced.")

    class Meta:
        ordering = ["-first_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["endpoint", "fingerprint"],
                condition=Q(cleared_at=None),
                name="credential_alarm_open_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.endpoint_id}: {self.status} for {self.fingerprint}"


class Model(models.Model):
    """An AI model, whoever runs it."""

    class Modality(models.TextChoices):
        TEXT = "text", "Text"
        EMBEDDING = "embedding", "Embedding"
        IMAGE = "image", "Image"
        VIDEO = "video", "Video"

    class Status(models.TextChoices):
        ACTIVE = "active", "Active"
        DEPRECATED = "deprecated", "Deprecated"
        RETIRED = "retired", "Retired"

    slug = models.CharField(max_length=120, unique=True)
    name = models.CharField(max_length=120)
    modality = models.CharField(max_length=12, choices=Modality)
    description = models.TextField(blank=True)
    status = models.CharField(max_length=12, choices=Status, default=Status.ACTIVE)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.slug


class Offering(models.Model):
    """One model, run by one provider, in one region."""

    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="offerings")
    endpoint = models.ForeignKey(Endpoint, on_delete=models.PROTECT, related_name="offerings")
    upstream_model = models.CharField(max_length=160, help_text="The provider's own name for it.")
    context_length = models.PositiveIntegerField(
        null=True, blank=True, help_text="Tokens of prompt and answer together."
    )
    max_output = models.PositiveIntegerField(null=True, blank=True, help_text="Tokens of answer.")
    capabilities = ArrayField(models.CharField(max_length=20), default=list, blank=True)
    weight = models.PositiveSmallIntegerField(
        default=100,
        validators=[MinValueValidator(1)],
        help_text="Share of conversations among equally good offerings.",
    )
    probe_every_s = models.PositiveIntegerField(
        "probe every (s)",
        default=60,
        db_default=60,  # the version before this one does not name it
        validators=[MinValueValidator(5)],
        help_text="Seconds between two probes while it is healthy; sooner while it is not.",
    )
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ["model", "endpoint"]
        constraints = [
            models.UniqueConstraint(fields=["model", "endpoint"], name="offering_unique"),
            models.CheckConstraint(condition=Q(weight__gt=0), name="offering_weight_positive"),
            models.CheckConstraint(
                condition=Q(probe_every_s__gte=5), name="offering_probe_not_too_often"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model_id} at {self.endpoint_id}"


class OfferingHealth(models.Model):
    """What probes and real calls say of an offering (R10). The rules of its steps are in ``health.py``."""

    class Status(models.TextChoices):
        HEALTHY = "healthy", "Healthy"
        DEGRADED = "degraded", "Degraded"
        DOWN = "down", "Down"

    offering = models.OneToOneField(
        Offering, on_delete=models.CASCADE, primary_key=True, related_name="health"
    )
    status = models.CharField(max_length=8, choices=Status, default=Status.HEALTHY)
    since = models.DateTimeField(default=timezone.now)
    reason = models.CharField(max_length=80, blank=True)
    failures = models.PositiveIntegerField(default=0, help_text="In a row, towards a step down.")
    successes = models.PositiveIntegerField(default=0, help_text="In a row, towards a step up.")
    latency_ms = models.PositiveIntegerField(
        null=True, help_text="To the first content, the median of the last real calls."
    )
    tokens_per_s = models.FloatField(null=True, help_text="The median of the last real calls.")
    recent_latency_ms = ArrayField(models.PositiveIntegerField(), default=list)
    recent_tokens_per_s = ArrayField(models.FloatField(), default=list)
    last_probe_at = models.DateTimeField(null=True)
    last_probe_ms = models.PositiveIntegerField(null=True)
    last_probe_outcome = models.CharField(max_length=40, blank=True)
    last_observed_at = models.DateTimeField(null=True, help_text="By a gateway, in a real call.")
    last_failed_at = models.DateTimeField(null=True, help_text="Likewise.")
    next_probe_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = "offering's health"
        verbose_name_plural = "health of offerings"
        ordering = ["offering"]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=["healthy", "degraded", "down"]), name="health_status_known"
            ),
            models.CheckConstraint(
                condition=Q(failures=0) | Q(successes=0), name="health_one_run_at_a_time"
            ),
        ]
        indexes = [models.Index(fields=["next_probe_at"], name="health_next_probe")]

    def __str__(self) -> str:
        return f"{self.status} since {self.since:%Y-%m-%d %H:%M}"


class HealthSample(models.Model):
    """What was seen of an offering at one moment: a probe, or a gateway's calls of a few seconds."""

    class Source(models.TextChoices):
        PROBE = "probe", "Probe"
        GATEWAY = "gateway", "Real calls"

    offering = models.ForeignKey(Offering, on_delete=models.CASCADE, related_name="samples")
    at = models.DateTimeField(default=timezone.now)
    source = models.CharField(max_length=8, choices=Source)
    successes = models.PositiveIntegerField()
    failures = models.PositiveIntegerField()
    outcome = models.CharField(max_length=40, blank=True, help_text="How the last failure failed.")
    latency_ms = models.PositiveIntegerField(null=True)

    class Meta:
        ordering = ["-at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(source__in=["probe", "gateway"]), name="health_sample_source_known"
            )
        ]
        indexes = [
            models.Index(fields=["offering", "-at"], name="health_sample_of_offering"),
            models.Index(fields=["at"], name="health_sample_at"),
        ]

    def __str__(self) -> str:
        return f"{self.source} of offering {self.offering_id}: {self.successes}/{self.failures}"


class Price(models.Model):
    """One version of an offering's price, in force from an instant until the next version's."""

    offering = models.ForeignKey(Offering, on_delete=models.PROTECT, related_name="prices")
    effective_from = models.DateTimeField(default=timezone.now)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["offering", "-effective_from"]
        constraints = [
            models.UniqueConstraint(fields=["offering", "effective_from"], name="price_unique")
        ]

    def __str__(self) -> str:
        return f"Price {self.pk} of offering {self.offering_id}"


class PriceComponent(models.Model):
    """The amount of one unit within one tier of input size."""

    class Unit(models.TextChoices):
        INPUT = "input", "Input tokens"
        CACHED_INPUT = "cached_input", "Cached input tokens"
        CACHE_WRITE = "cache_write", "Cache write tokens"
        CACHE_WRITE_1H = "cache_write_1h", "Cache write tokens, for an hour"
        OUTPUT = "output", "Output tokens"
        REASONING = "reasoning", "Reasoning tokens"
        IMAGE = "image", "Images"
        VIDEO_SECOND_720P = "video_second_720p", "Seconds of video, 720p"
        VIDEO_SECOND_1080P = "video_second_1080p", "Seconds of video, 1080p"

    price = models.ForeignKey(Price, on_delete=models.CASCADE, related_name="components")
    unit = models.CharField(max_length=20, choices=Unit)
    from_tokens = models.BigIntegerField(
        default=0, help_text="The tier holds for prompts of more tokens than this."
    )
    upto_tokens = models.BigIntegerField(
        null=True, blank=True, help_text="… and of at most this many; empty means no limit."
    )
    amount_nano = models.BigIntegerField(
        help_text="Nano-USD per million tokens, per image, or per second of video."
    )

    class Meta:
        ordering = ["price", "unit", "from_tokens"]
        constraints = [
            models.UniqueConstraint(
                fields=["price", "unit", "from_tokens"], name="price_component_unique"
            ),
            models.CheckConstraint(
                condition=Q(amount_nano__gte=0), name="price_component_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(from_tokens__gte=0)
                & (Q(upto_tokens=None) | Q(upto_tokens__gt=F("from_tokens"))),
                name="price_component_tier_ordered",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.unit}: {self.amount_nano}"


class PlanModel(models.Model):
    """``tokenhub/<name>``: a curated list of models, offered from a plan upwards (R5)."""

    name = models.SlugField(max_length=120, unique=True)
    plan = models.SlugField(max_length=20, help_text="The lowest plan that may call it.")
    regions = ArrayField(
        models.CharField(max_length=20),
        default=list,
        blank=True,
        help_text="Regions it promises: it never routes outside them. Empty promises none.",
    )
    models = ArrayField(
        models.CharField(max_length=120), help_text="Model names, in order of preference."
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return f"tokenhub/{self.name}"


class Preferences(TenantModel):
    """An organization's hard boundaries (R8). An empty list sets no limit."""

    class Strategy(models.TextChoices):
        BALANCED = "balanced", "Balanced"
        PRICE = "price", "Lowest price"
        LATENCY = "latency", "Lowest latency"
        THROUGHPUT = "throughput", "Highest throughput"

    allowed_regions = ArrayField(models.CharField(max_length=20), default=list, blank=True)
    allowed_providers = ArrayField(models.CharField(max_length=60), default=list, blank=True)
    denied_providers = ArrayField(models.CharField(max_length=60), default=list, blank=True)
    allowed_models = ArrayField(models.CharField(max_length=120), default=list, blank=True)
    denied_models = ArrayField(models.CharField(max_length=120), default=list, blank=True)
    require = ArrayField(models.CharField(max_length=20), default=list, blank=True)
    strategy = models.CharField(max_length=12, choices=Strategy, default=Strategy.BALANCED)
    version = models.PositiveIntegerField(default=1)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "preferences"
        constraints = [
            models.UniqueConstraint(fields=["organization"], name="preferences_one_per_tenant")
        ]

    def __str__(self) -> str:
        return f"Preferences of {self.organization_id}"
