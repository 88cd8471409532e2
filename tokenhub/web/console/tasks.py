"""A video on its way, or what became of it."""

from dataclasses import dataclass

from django.http import Http404, HttpResponse
from django.shortcuts import render

from accounts.access import OrganizationRequest, organization_view
from accounts.roles import Permission
from billing.media import task_of
from billing.models import MediaTask, Usage
from routing.pricing import fee_lines
from routing.types import Price, PriceComponent
from tokenhub.web.console.tasklinks import link_of


@dataclass(frozen=True, slots=True)
class Quote:
    """How the price of a task came about: seconds of a resolution, its price for each, and both fees."""

    unit: str
    seconds: int
    price_nano: int
    model_fee_nano: int
    service_fee_nano: int


@organization_view(Permission.VIEW)
def task(request: OrganizationRequest, task_id: str) -> HttpResponse:
    """Its state, its price, what was charged, and where the video is."""
    found = task_of(request.organization, task_id)
    if found is None:
        raise Http404("No such task.")
    usage = Usage.objects.for_organization(request.organization).by_id(found.request_id)
    context = {"task": found, "usage": usage, "quote": _quote(found), "link": link_of(found)}
    page = "console/task.html"
    if request.htmx:  # type: ignore[attr-defined]
        page += "#state"
    return render(request, page, context)


def _quote(found: MediaTask) -> Quote | None:
    """The price that was fixed; none where no provider began it."""
    unit = f"video_second_{found.resolution}"
    if unit not in found.price:
        return None
    price_nano = int(found.price[unit])
    price = Price(0, (PriceComponent(unit, price_nano),))
    _, model_fee_nano = fee_lines(price, {unit: found.seconds})
    return Quote(
        unit, found.seconds, price_nano, model_fee_nano, found.quoted_nano - model_fee_nano
    )
