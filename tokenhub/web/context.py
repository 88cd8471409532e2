"""What every page's frame needs."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from accounts.models import User
from accounts.notifications import Channels, choices_of
from billing.models import Alert
from billing.plans import terms_of
from tokenhub.web.models import Announcement, Dismissal
from tokenhub.web.notifications import category_of_announcement, shown_alerts
from tokenhub.web.rooms import account_rooms, console_rooms

SHOWN = 3
CHOICES = "_notification_choices"
MAILBOX = "tokenhub.web.mailbox.MailboxBackend"


def frame(request: HttpRequest) -> dict[str, Any]:
    """The organization at hand, what its member may do there, and the organizations to switch to."""
    organization = getattr(request, "organization", None)
    return {
        "organization": organization,
        "membership": getattr(request, "membership", None),
        "can": {permission.value: True for permission in getattr(request, "permissions", ())},
        "my_organizations": getattr(request, "my_organizations", []),
        "console_rooms": console_rooms(request, organization.slug) if organization else [],
        "open_alerts": SimpleLazyObject(lambda: _alerts(request)),
        "announcements": SimpleLazyObject(lambda: _announcements(request)),
        "account_rooms": SimpleLazyObject(lambda: account_rooms(request)),
        "public_url": settings.PUBLIC_URL,
        "demo": settings.DEMO,
        "keeps_mail": settings.EMAIL_BACKEND == MAILBOX,
    }


def _alerts(request: HttpRequest) -> list[Alert]:
    """What is open in the organization at hand, less what this member has read or does not want to see."""
    organization = getattr(request, "organization", None)
    if organization is None:
        return []
    assert isinstance(request.user, User)
    return shown_alerts(request.user, organization, lambda: _choices(request))


def _choices(request: HttpRequest) -> dict[str, Channels]:
    """How this member wants to be told, asked once in a request."""
    assert isinstance(request.user, User)
    if not hasattr(request, CHOICES):
        setattr(request, CHOICES, choices_of(request.user))
    found: dict[str, Channels] = getattr(request, CHOICES)
    return found


def _announcements(request: HttpRequest) -> list[Announcement]:
    """What the members of the organization at hand are told now, less what this one has read."""
    organization = getattr(request, "organization", None)
    if organization is None:
        return []
    read = Dismissal.objects.filter(user=request.user.pk).values("announcement_id")
    found = list(Announcement.objects.current().exclude(pk__in=read)[:SHOWN])
    if any(announcement.plans for announcement in found):
        plan = terms_of(organization).plan.slug
        found = [each for each in found if not each.plans or plan in each.plans]
    if found:
        wanted = _choices(request)
        found = [each for each in found if wanted[category_of_announcement(each)].in_app]
    return found
