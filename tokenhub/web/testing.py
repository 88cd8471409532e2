"""“Test now” in the admin: probe what is selected, at once, and show how it went."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Q
from django.http import HttpRequest

from routing.health import targets
from routing.models import Endpoint, Offering, OfferingHealth, Provider
from tokenhub.probes import probe_now

AT_MOST = 40
"""Offerings tested at one go: the page waits for them."""

# Which offerings a selected row stands for.
_OFFERINGS = {
    Provider: "endpoint__provider__in",
    Endpoint: "endpoint__in",
    Offering: "pk__in",
    OfferingHealth: "health__in",
}


@admin.action(description="Test now", permissions=["view"])
def test_now(modeladmin: Any, request: HttpRequest, queryset: Any) -> None:
    """Probe the offerings of the selected rows; results go on record like every probe's."""
    chosen = Offering.objects.filter(Q(**{_OFFERINGS[modeladmin.model]: queryset}))
    chosen = chosen.select_related("model", "endpoint__provider")
    offerings = {row.pk: row for row in chosen.order_by("pk")[: AT_MOST + 1]}
    if len(offerings) > AT_MOST:
        modeladmin.message_user(
            request, f"Select fewer: at most {AT_MOST} offerings at one go.", messages.ERROR
        )
        return
    if not offerings:
        modeladmin.message_user(request, "Nothing is offered there.", messages.WARNING)
        return
    for row in queryset:
        modeladmin.log_change(request, row, "Tested now")
    for offering, seen in probe_now(targets(offerings)).items():
        row = offerings[offering]
        name = f"{row.model} at {row.endpoint}"
        if seen.failures:
            modeladmin.message_user(request, f"{name}: {seen.outcome}", messages.ERROR)
        else:
            modeladmin.message_user(request, f"{name}: answered in {seen.latency_ms[0]} ms")


def offer() -> None:
    """Put the action on the pages of ``routing``, which itself must not know of probes."""
    for model in _OFFERINGS:
        page: Any = admin.site.get_model_admin(model)
        page.actions = [*(page.actions or ()), test_now]
