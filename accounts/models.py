"""People, organizations and who belongs where; the base of every tenant model."""

from typing import Any, ClassVar, Self

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Lower, Now
from django.utils import timezone

from accounts.ids import PrefixedIdField
from accounts.roles import Role


class UserManager(BaseUserManager["User"]):
    """Creates users by e-mail address."""

    def create_user(self, email: str, password: str | None = None, **extra: Any) -> "User":
        """A user with a normalised address; without a password they cannot sign in by one."""
        user = self.model(email=self.normalize_email(email).lower(), **extra)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **extra: Any) -> "User":
        """An operator with every right in the admin.

        Whoever may run this vouches for the address: the first operator of an installation has to
        sign in before any mail can be sent.
        """
        # Imported late: allauth's model refers to this one.
        from allauth.account.models import EmailAddress

        extra = {"is_staff": True, "is_superuser": True} | extra
        user = self.create_user(email, password, **extra)
        EmailAddress.objects.using(self._db).create(
            user=user, email=user.email, verified=True, primary=True
        )
        return user


class User(AbstractBaseUser, PermissionsMixin):
    """A person, known by an e-mail address."""

    class Theme(models.TextChoices):
        SYSTEM = "system", "As the system has it"
        LIGHT = "light", "Light"
        DARK = "dark", "Dark"

    email = models.EmailField(max_length=254, unique=True)
    name = models.CharField(max_length=120, blank=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False, help_text="May sign in to the operators' admin.")
    date_joined = models.DateTimeField(default=timezone.now, editable=False)
    theme = models.CharField(max_length=8, choices=Theme, default=Theme.SYSTEM)
    keyboard_shortcuts = models.BooleanField(default=True)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: list[str] = []  # type: ignore[misc]  # a plain attribute in the base

    class Meta:
        constraints = [
            models.UniqueConstraint(Lower("email"), name="user_email_unique_ignoring_case"),
        ]

    def __str__(self) -> str:
        return self.email

    @property
    def display_name(self) -> str:
        """The name people see; the address where none was given."""
        return self.name or self.email


class NotificationChoice(models.Model):
    """How somebody wants to be told of a category, where that is not the default."""

    class Category(models.TextChoices):
        SECURITY = "security", "Security of your account"
        INVOICES = "invoices", "Invoices, disputes and plan payments"
        BALANCE = "balance", "Low balance, budgets and automatic top-ups"
        WEBHOOKS = "webhooks", "Webhooks that were switched off"
        INCIDENTS = "incidents", "Incidents and maintenance"
        NEWS = "news", "News"

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    category = models.CharField(max_length=12, choices=Category)
    in_app = models.BooleanField()
    email = models.BooleanField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "category"], name="notification_choice_one_per_category"
            ),
            models.CheckConstraint(
                condition=models.Q(email=True) | ~models.Q(category__in=["security", "invoices"]),
                name="notification_always_mailed",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.category} of {self.user_id}"


class OrganizationManager(models.Manager["Organization"]):
    """Finds organizations the ways operators name them."""

    def by_slug_or_id(self, name: str) -> "Organization | None":
        """The organization with this slug or ``org_…`` id, if there is one."""
        field = "id" if name.startswith("org_") else "slug"
        try:
            return self.filter(**{field: name}).first()
        except ValidationError:
            return None

    def open_to(self, user: User) -> "models.QuerySet[Organization]":
        """Those that somebody is a member of, but closed ones."""
        return self.filter(memberships__user=user).exclude(status=Organization.Status.CLOSED)


class Organization(models.Model):
    """A tenant: it owns the balance, the keys, the preferences and the usage."""

    class Status(models.TextChoices):
        ACTIVE = "active", "Active"
        SUSPENDED = "suspended", "Suspended"
        CLOSED = "closed", "Closed by its owner"

    id = PrefixedIdField("org")
    name = models.CharField(max_length=120)
    slug = models.SlugField(max_length=60, unique=True)
    status = models.CharField(max_length=12, choices=Status, default=Status.ACTIVE)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    members = models.ManyToManyField(User, through="Membership", related_name="organizations")

    objects = OrganizationManager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=["active", "suspended", "closed"]),
                name="organization_status_known",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class TenantQuerySet(models.QuerySet[Any]):
    """The one way in to tenant data."""

    def for_organization(self, organization: Organization) -> Self:
        """Only the rows of one organization."""
        return self.filter(organization=organization)

    def by_id(self, public_id: str) -> Any | None:
        """The row with this id, or ``None``; what cannot be an id names nothing."""
        try:
            return self.filter(pk=public_id).first()
        except ValidationError:
            return None


class TenantModel(models.Model):
    """Base of every model that belongs to one organization."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")

    objects = TenantQuerySet.as_manager()

    class Meta:
        abstract = True


class MailedModel(models.Model):
    """Base of what a job mails (``accounts.mailing``): how often that failed, and when it is tried next."""

    # With defaults in the database: the version before does not name them.
    mail_attempts = models.PositiveSmallIntegerField(default=0, db_default=0, editable=False)
    mail_after = models.DateTimeField(default=timezone.now, db_default=Now(), editable=False)

    class Meta:
        abstract = True


class Membership(TenantModel):
    """A user's place in an organization, with a role."""

    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="memberships"
    )
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=12, choices=Role)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    checklist_hidden = models.BooleanField(default=False, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "user"], name="membership_unique"),
            models.CheckConstraint(
                condition=models.Q(role__in=Role.values), name="membership_role_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.organization} ({self.role})"


class Invitation(TenantModel):
    """An offer of a role to whoever reads mail at an address. Its token is only in that mail."""

    id = PrefixedIdField("invite")
    email = models.EmailField(max_length=254)
    role = models.CharField(max_length=12, choices=Role)
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    invited_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                "organization",
                Lower("email"),
                condition=models.Q(accepted_at=None, revoked_at=None),
                name="invitation_one_open_per_address",
            ),
            models.CheckConstraint(
                condition=models.Q(role__in=Role.values), name="invitation_role_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.email} to {self.organization} as {self.role}"

    @property
    def is_open(self) -> bool:
        """Whether it can still be accepted."""
        waits = self.accepted_at is None and self.revoked_at is None
        return waits and self.expires_at > timezone.now()


class AuditEvent(TenantModel):
    """Who changed what, from what to what, from where. Rows are never changed or removed."""

    class Actor(models.TextChoices):
        USER = "user", "Member"
        KEY = "key", "Management key"
        STAFF = "staff", "Staff"
        SYSTEM = "system", "System"

    id = PrefixedIdField("evt")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    actor_kind = models.CharField(max_length=8, choices=Actor)
    actor = models.CharField(max_length=254, help_text="An address, a key id, or what acted.")
    action = models.CharField(max_length=60)
    target = models.CharField(max_length=120)
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    ip_address = models.GenericIPAddressField(null=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["organization", "-id"], name="audit_by_organization")]

    def __str__(self) -> str:
        return f"{self.actor} {self.action} {self.target}"
