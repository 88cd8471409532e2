"""One box that finds models, requests by their id, keys, pages of the documentation and rooms of the console."""

from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from accounts.access import OrganizationRequest, organization_view
from accounts.roles import Permission
from billing.models import Usage
from keys.models import ApiKey
from routing.models import Model
from tokenhub.web import docs
from tokenhub.web.rooms import account_rooms, console_rooms

MOST = 8


@dataclass(frozen=True, slots=True)
class Hit:
    """Something found, and what it is in a few words."""

    name: str
    about: str
    url: str


@organization_view(Permission.VIEW)
def search(request: OrganizationRequest) -> HttpResponse:
    """What is found, by kind. The whole id of a request leads straight to it."""
    query = request.GET.get("q", "").replace("\0", "").strip()[:100]  # no text has a NUL in it
    if query.startswith("req_") and _request_exists(request, query):
        return redirect("request_detail", request.organization.slug, query)
    groups = (
        {
            "Rooms": _rooms(request, query),
            "Models": _models(query),
            "API keys": _keys(request, query),
            "Documentation": [
                Hit(f"{hit.page.title}: {hit.section.title}", hit.excerpt, _place(hit))
                for hit in docs.search(query, MOST)
            ],
        }
        if query
        else {}
    )
    found = {kind: hits for kind, hits in groups.items() if hits}
    return render(request, "console/search.html", {"query": query, "groups": found})


def _request_exists(request: OrganizationRequest, request_id: str) -> bool:
    try:
        found = Usage.objects.for_organization(request.organization).filter(pk=request_id)
        return bool(found.exists())
    except ValidationError:
        return False


def _rooms(request: OrganizationRequest, query: str) -> list[Hit]:
    groups = [*console_rooms(request, request.organization.slug), *account_rooms(request)]
    return [
        Hit(room.name, group, room.url)
        for group, rooms in groups
        for room in rooms
        if query.lower() in room.name.lower()
    ][:MOST]


def _models(query: str) -> list[Hit]:
    found = Model.objects.exclude(status=Model.Status.RETIRED).filter(
        Q(slug__icontains=query) | Q(name__icontains=query)
    )
    return [
        Hit(model.name, model.slug, reverse("model", args=[model.slug])) for model in found[:MOST]
    ]


def _keys(request: OrganizationRequest, query: str) -> list[Hit]:
    found = ApiKey.objects.for_organization(request.organization).filter(
        Q(name__icontains=query) | Q(last4=query[-4:])
    )
    slug = request.organization.slug
    return [Hit(key.name, key.label, reverse("key", args=[slug, key.id])) for key in found[:MOST]]


def _place(hit: docs.Hit) -> str:
    anchor = f"#{hit.section.anchor}" if hit.section.anchor else ""
    return reverse("docs_page", args=[hit.page.slug]) + anchor
