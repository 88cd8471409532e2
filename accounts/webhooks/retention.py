"""How long webhooks are remembered."""

from accounts.retention import keep
from accounts.webhooks.models import Event

keep(
    "Webhook events, with their deliveries and attempts",
    days=30,
    rows=lambda at: Event.objects.filter(created_at__lt=at),
)
