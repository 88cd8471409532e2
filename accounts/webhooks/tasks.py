"""Background jobs on webhooks. Thin, bounded, safe to run twice."""

from celery import shared_task

from accounts.webhooks import delivery


@shared_task
def deliver_webhooks() -> int:
    """Send what waits, and say which endpoints were switched off."""
    made = delivery.deliver_due()
    delivery.send_notices()
    return made
