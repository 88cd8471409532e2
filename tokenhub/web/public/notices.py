"""What customers are told: the status of providers, announcements, and their feeds."""

from datetime import datetime

from django.contrib.syndication.views import Feed
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.feedgenerator import Atom1Feed
from django.utils.html import escape
from django.views.decorators.http import require_POST

from accounts.access import OrganizationRequest, organization_view
from accounts.roles import Permission
from tokenhub.web.markdown import rendered
from tokenhub.web.models import Announcement, Dismissal, Incident
from tokenhub.web.status import availability

SHOWN = 50
# On the status page: incidents that are over, and what was said.
OVER, SAID = 20, 10
Severity = Announcement.Severity


def status(request: HttpRequest) -> HttpResponse:
    """How providers do now and did in the last ninety days, and what was said about it."""
    notices = Announcement.objects.published().exclude(severity=Severity.NEWS)
    over = Incident.objects.exclude(closed_at=None)[:OVER]
    incidents = list(Incident.objects.filter(Q(closed_at=None) | Q(pk__in=over.values("pk"))))
    newest = notices[:SAID]
    said = list(notices.filter(Q(pk__in=notices.current()) | Q(pk__in=newest.values("pk"))))
    now = timezone.now()
    open_incidents = [each for each in incidents if each.closed_at is None]
    rows = availability(open_incidents)
    context = {
        "open_incidents": open_incidents,
        "past_incidents": [each for each in incidents if each.closed_at is not None],
        "rows": rows,
        "troubled": [row for row in rows if row.today in ("warn", "bad")],
        "current": [each for each in said if each.ends_at is None or each.ends_at > now],
        "past": said[:SAID],
    }
    return render(request, "web/status.html", context)


def announcements(request: HttpRequest) -> HttpResponse:
    """All of them, the newest first."""
    found = Announcement.objects.published()[:SHOWN]
    return render(request, "web/announcements.html", {"announcements": found})


def announcement(request: HttpRequest, slug: str) -> HttpResponse:
    """One of them."""
    found = get_object_or_404(Announcement.objects.published(), slug=slug)
    context = {"announcement": found, "body": rendered(found.body)}
    return render(request, "web/announcement.html", context)


@require_POST
@organization_view(Permission.VIEW)
def announcement_dismiss(request: OrganizationRequest, announcement_id: int) -> HttpResponse:
    """Somebody has read one; nobody else's console changes."""
    found = get_object_or_404(Announcement.objects.published(), pk=announcement_id)
    Dismissal.objects.get_or_create(announcement=found, user=request.user)
    return redirect("overview", request.organization.slug)


class AnnouncementFeed(Feed):  # type: ignore[type-arg]  # not generic when run
    """Every announcement, as Atom."""

    feed_type = Atom1Feed
    title = "TokenHub announcements"
    subtitle = "News, maintenance and incidents"
    language = None

    def link(self) -> str:
        return reverse("announcements")

    def items(self) -> list[Announcement]:
        return list(Announcement.objects.published()[:SHOWN])

    def item_title(self, item: Announcement) -> str:
        return f"{item.get_severity_display()}: {item.title}"

    def item_description(self, item: Announcement) -> str:
        return rendered(item.body)

    def item_link(self, item: Announcement) -> str:
        return reverse("announcement", args=[item.slug])

    def item_pubdate(self, item: Announcement) -> datetime | None:
        return item.published_at

    def item_updateddate(self, item: Announcement) -> datetime:
        return item.updated_at


class StatusFeed(Feed):  # type: ignore[type-arg]  # not generic when run
    """Incidents as they opened and closed, and what was said of them and of maintenance, as Atom."""

    feed_type = Atom1Feed
    title = "TokenHub status"
    subtitle = "Maintenance and incidents"
    language = None

    def link(self) -> str:
        return reverse("status")

    def items(self) -> list[Announcement | Incident]:
        said = Announcement.objects.published().exclude(severity=Severity.NEWS)[:SHOWN]
        found: list[Announcement | Incident] = [*said, *Incident.objects.all()[:SHOWN]]
        return sorted(found, key=self.item_pubdate, reverse=True)[:SHOWN]

    def item_title(self, item: Announcement | Incident) -> str:
        if isinstance(item, Incident):
            return f"{'Resolved' if item.closed_at else 'Open'}: {item.title}"
        return f"{item.get_severity_display()}: {item.title}"

    def item_description(self, item: Announcement | Incident) -> str:
        if isinstance(item, Incident):
            ended = f" until {item.closed_at:%Y-%m-%d %H:%M}" if item.closed_at else ""
            regions = ", ".join(item.regions)
            return f"<p>{escape(regions)}: since {item.opened_at:%Y-%m-%d %H:%M}{ended} UTC</p>"
        return rendered(item.body)

    def item_link(self, item: Announcement | Incident) -> str:
        if isinstance(item, Incident):
            return f"{reverse('status')}#incident-{item.pk}"
        return reverse("announcement", args=[item.slug])

    def item_pubdate(self, item: Announcement | Incident) -> datetime:
        found = item.opened_at if isinstance(item, Incident) else item.published_at
        assert found is not None, "what is not published is no item"
        return found

    def item_updateddate(self, item: Announcement | Incident) -> datetime:
        if isinstance(item, Incident):
            return item.closed_at or item.opened_at
        return item.updated_at
