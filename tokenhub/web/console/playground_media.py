"""The playground of image and video models: the same calls as a customer's, by the console's relay.

Pictures come as bytes in the answer, so that the page loads nothing from a provider's storage and its
policy allows no third party. A video is played and linked to, by an address of ours that needs no key.
"""

from django.http import Http404, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST

from accounts.access import OrganizationRequest, organization_view
from accounts.roles import Permission
from billing.media import task_of
from billing.money import usd_from_nano
from billing.plans import terms_of
from billing.selectors import left_to_spend_nano
from routing.listing import listing
from tokenhub.dry_run import callable_names
from tokenhub.gateway.media.requests import MAX_IMAGES, MAX_PROMPT
from tokenhub.gateway.media.video_requests import LINES, MAX_SECONDS, RATIOS, SECONDS
from tokenhub.web.console.playground import LANGUAGES, chosen, send
from tokenhub.web.console.tasklinks import link_of

SIZES = ("1024x1024", "1536x1024", "1024x1536", "1280x1280")


@organization_view(Permission.USE_PLAYGROUND)
def playground_image(request: OrganizationRequest) -> HttpResponse:
    """Ask for pictures and see them. The page calls ``playground_image_send``."""
    return _page(request, "image", sizes=SIZES, most=MAX_IMAGES)


@require_POST
@organization_view(Permission.USE_PLAYGROUND)
def playground_image_send(request: OrganizationRequest) -> HttpResponseBase:
    """Pictures as its JSON asks for them, with the organization's hidden key."""
    return send(request, "/v1/images/generations")


@organization_view(Permission.USE_PLAYGROUND)
def playground_video(request: OrganizationRequest) -> HttpResponse:
    """Begin a video and wait for it. The page calls ``playground_video_send``, then asks for its task."""
    choices = {"resolutions": [name.upper() for name in LINES], "ratios": tuple(RATIOS)}
    return _page(request, "video", most=MAX_SECONDS, seconds=SECONDS, **choices)


@require_POST
@organization_view(Permission.USE_PLAYGROUND)
def playground_video_send(request: OrganizationRequest) -> HttpResponseBase:
    """A video begun as its JSON says, with the organization's hidden key; the task that it became."""
    return send(request, "/v1/video/generations")


@organization_view(Permission.USE_PLAYGROUND)
def playground_video_task(request: OrganizationRequest, task_id: str) -> JsonResponse:
    """How a task of the organization stands, for the page that waits for it."""
    found = task_of(request.organization, task_id)
    if found is None:
        raise Http404("No such task.")
    return JsonResponse(
        {
            "status": found.status,
            "video_url": link_of(found),
            "cost_usd": usd_from_nano(found.total_nano),
            "error": f"{found.error_message} ({found.error_code})" if found.error_code else "",
        }
    )


def _page(request: OrganizationRequest, kind: str, **more: object) -> HttpResponse:
    organization = request.organization
    terms = terms_of(organization)
    names = callable_names(organization, kind, terms=terms, catalogue=listing().catalogue)
    context = {
        "kind": kind,
        "languages": LANGUAGES,
        "names": names,
        "chosen": chosen(names, request.GET.get("model", "")),
        "left_nano": left_to_spend_nano(organization),
        "longest_prompt": MAX_PROMPT,
        **more,
    }
    return render(request, "console/playground/media.html", context)
