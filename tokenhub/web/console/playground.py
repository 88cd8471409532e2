"""The playground of text models: calls from the console, billed and limited like any other."""

import json
import re

from django.core.exceptions import RequestDataTooBig
from django.http import HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from accounts.access import OrganizationRequest, actor, organization_view
from accounts.roles import Permission
from billing.plans import terms_of
from billing.selectors import left_to_spend_nano
from keys.playground import playground_secret
from routing.listing import listing
from tokenhub.dry_run import Named, callable_names
from tokenhub.web.relay import relay
from tokenhub.web.templatetags.formats import usd_column

LANGUAGES = (("curl", "curl"), ("python", "Python"), ("javascript", "JavaScript"))
DEFAULT = "tokenhub/auto"
MAX_BODY_BYTES = 1_000_000
_SESSION = re.compile(r"[A-Za-z0-9_-]{1,64}")


@organization_view(Permission.USE_PLAYGROUND)
def playground(request: OrganizationRequest) -> HttpResponse:
    """To the text playground, which most come for."""
    return redirect("playground_chat", request.organization.slug)


@organization_view(Permission.USE_PLAYGROUND)
def playground_chat(request: OrganizationRequest) -> HttpResponse:
    """Talk to one model, or to two side by side. The page calls ``playground_chat_send``."""
    organization = request.organization
    terms = terms_of(organization)
    catalogue = listing().catalogue
    names = callable_names(organization, "text", terms=terms, catalogue=catalogue)
    context = {
        "languages": LANGUAGES,
        "names": names,
        "offerings": [o for o in catalogue.offerings if o.modality == "text" and o.price],
        "chosen": chosen(names, request.GET.get("model", "")),
        "terms": terms,
        "left_nano": left_to_spend_nano(organization),
    }
    return render(request, "console/playground/chat.html", context)


@organization_view(Permission.USE_PLAYGROUND)
def playground_left(request: OrganizationRequest) -> HttpResponse:
    """What is left to spend, for the pages' heads once a call has ended."""
    return HttpResponse(usd_column(left_to_spend_nano(request.organization)))


@require_POST
@organization_view(Permission.USE_PLAYGROUND)
def playground_chat_send(request: OrganizationRequest) -> HttpResponseBase:
    """A chat call as its JSON says it, with the organization's hidden key; the answer as it arrives."""
    return send(request, "/v1/chat/completions")


def send(request: OrganizationRequest, path: str) -> HttpResponseBase:
    """What the page sent, called at a route of ``/v1`` with the organization's hidden key."""
    try:
        body = request.body
    except RequestDataTooBig:
        body = b""
    if not _is_object(body):
        return _refused("The body must be a JSON object of at most a megabyte.")
    session_id = request.headers.get("X-Session-Id", "")
    if session_id and not _SESSION.fullmatch(session_id):
        return _refused("X-Session-Id has at most 64 letters, digits, “-” and “_”.")
    secret = playground_secret(request.organization, actor=actor(request))
    return relay(path, body, secret=secret, session_id=session_id)


def chosen(names: dict[str, list[Named]], wanted: str) -> str:
    """The name that the page begins with: the one asked for where it can be called."""
    every = [named.name for group in names.values() for named in group]
    return next((name for name in (wanted, DEFAULT, *every) if name in every), "")


def _is_object(body: bytes) -> bool:
    if len(body) > MAX_BODY_BYTES:
        return False
    try:
        return isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        return False


def _refused(message: str) -> JsonResponse:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": "invalid_request"}  # fmt: skip
    return JsonResponse({"error": error}, status=400)
