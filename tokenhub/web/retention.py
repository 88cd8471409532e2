"""How long visitors' messages are kept."""

from accounts.retention import keep
from tokenhub.web.models import ContactRequest, OfferingDay, ProviderDay

keep(
    "Messages of visitors that were answered or closed",
    days=730,
    rows=lambda at: ContactRequest.objects.filter(created_at__lt=at, status__in=["answered", "closed"]),
)  # fmt: skip
keep(
    "Daily availability of providers",
    days=400,
    rows=lambda at: ProviderDay.objects.filter(day__lt=at.date()),
)
keep(
    "Daily availability of models at providers",
    days=400,
    rows=lambda at: OfferingDay.objects.filter(day__lt=at.date()),
)
