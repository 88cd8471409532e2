"""Telling customers' webhooks of what was announced, each announcement once."""

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from accounts.webhooks.events import emit, organizations_wanting
from billing.plans import terms_of
from tokenhub.web.models import Announcement

KIND = "announcement.published"
# How far back an announcement is still news; a job that was away for longer says nothing late.
WITHIN = timedelta(days=1)


def announce() -> int:
    """Tell whoever wants to know and is meant; returns how many announcements were told of.

    Safe to repeat: an organization is told of an announcement once.
    """
    fresh = Announcement.objects.published().filter(published_at__gt=timezone.now() - WITHIN)
    announcements = list(fresh)
    if not announcements:
        return 0
    for organization in organizations_wanting(KIND):
        plan = terms_of(organization).plan.slug
        with transaction.atomic():
            for each in announcements:
                if not each.plans or plan in each.plans:
                    emit(organization, KIND, _told(each), reference=f"announcement:{each.pk}")
    return len(announcements)


def _told(announcement: Announcement) -> dict[str, object]:
    assert announcement.published_at is not None
    return {
        "slug": announcement.slug,
        "title": announcement.title,
        "severity": announcement.severity,
        "published_at": announcement.published_at.isoformat().replace("+00:00", "Z"),
        "url": settings.PUBLIC_URL + reverse("announcement", args=[announcement.slug]),
    }
