"""Background jobs of the public site."""

from celery import shared_task
from django.utils import timezone

from billing import media
from routing.credentials import mail_alarms
from routing.health import forget_samples
from tokenhub.gateway.media import follow
from tokenhub.probes import probe_due
from tokenhub.web import announcing, incidents, notifications, status


@shared_task
def roll_up_availability() -> int:
    """What the status page shows of yesterday and today."""
    return status.roll_up()


@shared_task
def announce() -> int:
    """Tell webhooks of what was published, and people of what is urgent."""
    return announcing.announce() + notifications.mail_announcements()


@shared_task
def probe_offerings() -> int:
    """Ask the offerings whose probe is due whether they answer; the number asked."""
    return len(probe_due())


@shared_task
def follow_incidents() -> int:
    """Open and close incidents as health says; the number that changed."""
    return incidents.follow()


@shared_task
def mail_credential_alarms() -> int:
    """Tell operators which of our credentials are refused."""
    return mail_alarms()


@shared_task
def forget_health_samples() -> int:
    """Drop what is past its retention."""
    return forget_samples()


@shared_task
def follow_media_tasks() -> int:
    """Carry open videos to their end; the number looked at."""
    return follow.follow()


@shared_task
def forget_media_urls() -> int:
    """Drop the addresses of videos that lead nowhere any more."""
    return media.forget_urls(timezone.now())
