"""What the public site keeps: announcements, legal texts, messages of visitors, and how available providers were."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import MailedModel


class AnnouncementQuerySet(models.QuerySet["Announcement"]):
    """Named filters on announcements."""

    def published(self) -> "AnnouncementQuerySet":
        """Those anybody may read."""
        return self.filter(published_at__lte=timezone.now())

    def current(self) -> "AnnouncementQuerySet":
        """Those that are not over; whom the console shows them is for their plans to say."""
        return self.published().filter(Q(ends_at=None) | Q(ends_at__gt=timezone.now()))


class Announcement(models.Model):
    """Something customers are told: an incident, maintenance, news. Markdown."""

    class Severity(models.TextChoices):
        NEWS = "news", "News"
        MAINTENANCE = "maintenance", "Maintenance"
        INCIDENT = "incident", "Incident"

    slug = models.SlugField(max_length=80, unique=True)
    title = models.CharField(max_length=120)
    body = models.TextField(help_text="Markdown; HTML in it is shown as text.")
    severity = models.CharField(max_length=12, choices=Severity, default=Severity.NEWS)
    plans = ArrayField(
        models.SlugField(max_length=20), default=list, blank=True,
        help_text="Whom the console shows it: slugs of plans; empty means everybody.",
    )  # fmt: skip
    published_at = models.DateTimeField(
        null=True, blank=True, help_text="Public from this instant; empty is a draft."
    )
    ends_at = models.DateTimeField(
        null=True, blank=True, help_text="The console shows it until then; the page stays."
    )
    updated_at = models.DateTimeField(auto_now=True)

    objects = AnnouncementQuerySet.as_manager()

    class Meta:
        ordering = [F("published_at").desc(nulls_first=True)]

    def __str__(self) -> str:
        return self.title


class Incident(models.Model):
    """A time in which a provider did not answer for one kind of model."""

    provider = models.CharField(max_length=60)
    name = models.CharField(max_length=80, help_text="The provider's, as it was then.")
    modality = models.CharField(max_length=12)
    regions = ArrayField(models.CharField(max_length=60), default=list, help_text="Their names.")
    region_slugs = ArrayField(
        models.CharField(max_length=20),
        default=list,
        db_default=[],  # the version before this one does not name it
        help_text="As programs know them.",
    )
    whole = models.BooleanField(
        "all of them", default=False, help_text="None of its models of this kind answered."
    )
    reason = models.CharField(max_length=80, blank=True, help_text="For operators only.")
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    announcement = models.ForeignKey(
        Announcement, null=True, on_delete=models.SET_NULL, related_name="incidents"
    )

    class Meta:
        ordering = ["-opened_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "modality"],
                condition=Q(closed_at=None),
                name="incident_open_once",
            ),
            models.CheckConstraint(
                condition=Q(closed_at=None) | Q(closed_at__gte=F("opened_at")),
                name="incident_ends_after_it_began",
            ),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def title(self) -> str:
        """What happened, in a few words."""
        return f"{self.name}: {'all' if self.whole else 'some'} {self.modality} requests fail"


class Dismissal(models.Model):
    """Somebody has read an announcement."""

    announcement = models.ForeignKey(Announcement, on_delete=models.CASCADE)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["announcement", "user"], name="dismissal_unique")
        ]

    def __str__(self) -> str:
        return f"{self.announcement_id} by {self.user_id}"


class AnnouncementMail(MailedModel):
    """Somebody is to be mailed an announcement, or was."""

    announcement = models.ForeignKey(Announcement, on_delete=models.CASCADE)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    # Nothing: it waits. The version before, which sends as it writes, does not know the column.
    mailed_at = models.DateTimeField(null=True, db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["announcement", "user"], name="announcement_mailed_once"
            )
        ]
        indexes = [
            models.Index(fields=["id"], condition=Q(mailed_at=None), name="announcement_not_mailed")
        ]

    def __str__(self) -> str:
        return f"{self.announcement_id} to {self.user_id}"


class AlertReading(models.Model):
    """Somebody has read an alert of an organization; for the others it stays unread."""

    alert = models.ForeignKey("billing.Alert", on_delete=models.CASCADE)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["alert", "user"], name="alert_reading_unique")
        ]

    def __str__(self) -> str:
        return f"{self.alert_id} by {self.user_id}"


class LegalText(models.Model):
    """One version of a legal page, in force from a day until the next version's. Markdown."""

    class Page(models.TextChoices):
        TERMS = "terms", "Terms of service"
        PRIVACY = "privacy", "Privacy"
        SLA = "sla", "Service level agreement"
        DPA = "dpa", "Data processing agreement"

    page = models.CharField(max_length=10, choices=Page)
    effective_from = models.DateField()
    body = models.TextField(help_text="Markdown; HTML in it is shown as text.")

    class Meta:
        ordering = ["page", "-effective_from"]
        constraints = [
            models.UniqueConstraint(fields=["page", "effective_from"], name="legal_text_unique")
        ]

    def __str__(self) -> str:
        return f"{self.get_page_display()} of {self.effective_from}"


class ContactRequest(models.Model):
    """A message of a visitor, until it is answered."""

    class Topic(models.TextChoices):
        SALES = "sales", "Sales"
        UPGRADE = "upgrade", "Upgrade to Pro or Enterprise"
        COMPLIANCE = "compliance", "Compliance routing extension"
        MODELS = "models", "Alternative-model consulting"
        GLOBAL = "global", "Global-delivery assessment"
        SUPPORT = "support", "Support"

    class Status(models.TextChoices):
        NEW = "new", "New"
        OPEN = "open", "In work"
        ANSWERED = "answered", "Answered"
        CLOSED = "closed", "Closed"

    reference = models.CharField(max_length=12, unique=True, editable=False)
    topic = models.CharField(max_length=12, choices=Topic)
    name = models.CharField(max_length=120)
    email = models.EmailField(max_length=254)
    company = models.CharField(max_length=120, blank=True)
    message = models.TextField(max_length=5_000)
    organization = models.ForeignKey(
        "accounts.Organization", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    status = models.CharField(max_length=10, choices=Status, default=Status.NEW)
    assignee = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL,
        related_name="+", limit_choices_to={"is_staff": True},
    )  # fmt: skip
    notes = models.TextField(blank=True, help_text="For operators only.")

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=["new", "open", "answered", "closed"]),
                name="contact_status_known",
            )
        ]

    def __str__(self) -> str:
        return f"{self.reference} {self.name}"


class ProviderDay(models.Model):
    """How a provider's attempts of one modality ended on one day in UTC."""

    provider = models.CharField(max_length=60)
    modality = models.CharField(max_length=12)
    day = models.DateField()
    attempts = models.BigIntegerField()
    failures = models.BigIntegerField()

    class Meta:
        ordering = ["provider", "modality", "day"]
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "modality", "day"], name="provider_day_unique"
            ),
            models.CheckConstraint(
                condition=Q(failures__lte=F("attempts")), name="provider_day_possible"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.modality} {self.day}"


class OfferingDay(models.Model):
    """How the attempts of one model at one provider's region ended on one day in UTC."""

    model = models.CharField(max_length=120)
    provider = models.CharField(max_length=60)
    region = models.CharField(max_length=20)
    day = models.DateField()
    attempts = models.BigIntegerField()
    failures = models.BigIntegerField()

    class Meta:
        ordering = ["model", "provider", "region", "day"]
        constraints = [
            models.UniqueConstraint(
                fields=["model", "provider", "region", "day"], name="offering_day_unique"
            ),
            models.CheckConstraint(
                condition=Q(failures__lte=F("attempts")), name="offering_day_possible"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model} {self.provider} {self.region} {self.day}"
