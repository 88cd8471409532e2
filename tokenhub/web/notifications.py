"""What one person is told, across their organizations: alerts and announcements, read or not."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.core.mail import EmailMessage
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone

from accounts.mailing import send_waiting
from accounts.models import Membership, Organization, User
from accounts.notifications import Category, Channels, choices_of, users_without_mail
from accounts.roles import Permission, roles_that_may
from billing.alerts import category_of, open_alerts
from billing.models import Alert
from billing.plans import active_on, terms_of
from tokenhub.web.models import AlertReading, Announcement, AnnouncementMail, Dismissal

SHOWN = 100
SHOWN_ALERTS = 3
REMEMBERED = timedelta(days=90)
# A published incident that nobody was mailed about within this time is history by then.
MAIL_WITHIN = timedelta(days=1)
Severity = Announcement.Severity


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing somebody was told. ``key`` names it when they have read it."""

    key: str
    category: str
    title: str
    organization: str
    url: str
    created_at: datetime
    is_read: bool


def notices_of(user: User) -> list[Notice]:
    """The last ninety days in the categories that a person wants in the console, the newest first."""
    wanted = {category for category, channels in choices_of(user).items() if channels.in_app}
    found = [notice for notice in (*_alerts(user), *_announcements(user)) if notice.category in wanted]  # fmt: skip
    return sorted(found, key=lambda notice: notice.created_at, reverse=True)[:SHOWN]


def read(user: User, key: str) -> None:
    """Somebody has read one; a key that names nothing they are told changes nothing."""
    for notice in notices_of(user):
        if key in (notice.key, "all"):
            kind, _, number = notice.key.partition("-")
            if kind == "alert":
                AlertReading.objects.get_or_create(alert_id=int(number), user=user)
            else:
                Dismissal.objects.get_or_create(announcement_id=int(number), user=user)


def shown_alerts(
    user: User, organization: Organization, choices: Callable[[], dict[str, Channels]]
) -> list[Alert]:
    """An organization's newest open alerts that a member did not read and wants to see."""
    read_by_them = AlertReading.objects.filter(user=user).values("alert_id")
    found = list(open_alerts(organization).exclude(pk__in=read_by_them)[:SHOWN_ALERTS])
    if not found:
        return []
    wanted = choices()
    return [each for each in found if wanted[category_of(each)].in_app]


def category_of_announcement(announcement: Announcement) -> str:
    """The category by which people choose whether to hear of it."""
    return Category.NEWS if announcement.severity == Severity.NEWS else Category.INCIDENTS


def mail_announcements(limit: int = 500) -> int:
    """Mail incidents and maintenance to whom they concern, each once; returns how many mails went out.

    Whom is written down first, then each is mailed: what fails is tried again.
    """
    now = timezone.now()
    urgent = Announcement.objects.current().filter(
        severity__in=[Severity.INCIDENT, Severity.MAINTENANCE], published_at__gt=now - MAIL_WITHIN
    )
    for announcement in urgent.order_by("published_at"):
        AnnouncementMail.objects.bulk_create(
            [
                AnnouncementMail(announcement=announcement, user=user, mailed_at=None)
                for user in _concerned(announcement)[:limit]
            ],
            ignore_conflicts=True,  # another worker was faster
        )
    waiting = (
        AnnouncementMail.objects.select_related("announcement", "user")
        .filter(mailed_at=None, announcement__in=urgent, user__is_active=True)
        .exclude(user__in=users_without_mail(Category.INCIDENTS))
    )
    return send_waiting(waiting, _mail, lambda: {"mailed_at": timezone.now()}, limit=limit)


def _concerned(announcement: Announcement) -> QuerySet[User]:
    people = (
        User.objects.filter(is_active=True, memberships__organization__status="active")
        .exclude(pk__in=users_without_mail(Category.INCIDENTS))
        .exclude(
            pk__in=AnnouncementMail.objects.filter(announcement=announcement).values("user_id")
        )
        .distinct()
        .order_by("pk")
    )
    if announcement.plans:
        people = people.filter(memberships__organization__in=active_on(announcement.plans))
    return people


def _mail(owed: AnnouncementMail) -> EmailMessage:
    announcement = owed.announcement
    return EmailMessage(
        f"TokenHub: {announcement.get_severity_display()}: {announcement.title}",
        f"{announcement.body}\n\n{settings.PUBLIC_URL}{reverse('announcement', args=[announcement.slug])}\n\n"
        "You get this because you are a member of an organization on TokenHub. Choose what you are"
        f" mailed about at {settings.PUBLIC_URL}{reverse('me_notifications')}\n",
        to=[owed.user.email],
    )


def _alerts(user: User) -> list[Notice]:
    tenants = Membership.objects.filter(
        user=user, role__in=roles_that_may(Permission.VIEW_BILLING)
    ).exclude(organization__status=Organization.Status.CLOSED)
    alerts = list(
        Alert.objects.filter(
            organization__in=tenants.values("organization_id"),
            created_at__gt=timezone.now() - REMEMBERED,
        ).select_related("organization")[:SHOWN]
    )
    done = set(
        AlertReading.objects.filter(user=user, alert__in=alerts).values_list("alert_id", flat=True)
    )
    return [
        Notice(
            key=f"alert-{alert.pk}",
            category=category_of(alert),
            title=alert.message,
            organization=alert.organization.name,
            url=reverse(
                "invoices" if alert.kind == Alert.Kind.INVOICE else "billing",
                args=[alert.organization.slug],
            ),
            created_at=alert.created_at,
            is_read=alert.pk in done or alert.dismissed_at is not None,
        )
        for alert in alerts
    ]


def _announcements(user: User) -> list[Notice]:
    found = list(
        Announcement.objects.published().filter(published_at__gt=timezone.now() - REMEMBERED)[
            :SHOWN
        ]
    )
    if any(each.plans for each in found):
        plans = {terms_of(each).plan.slug for each in Organization.objects.open_to(user)}
        found = [each for each in found if not each.plans or plans & set(each.plans)]
    done = set(Dismissal.objects.filter(user=user).values_list("announcement_id", flat=True))
    return [
        Notice(
            key=f"announcement-{each.pk}",
            category=category_of_announcement(each),
            title=f"{each.get_severity_display()}: {each.title}",
            organization="",
            url=reverse("announcement", args=[each.slug]),
            created_at=each.published_at or each.updated_at,
            is_read=each.pk in done,
        )
        for each in found
    ]
