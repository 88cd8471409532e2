"""Pages that are the same for every visitor may be kept for a minute, by browsers and by what stands before us."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.views.decorators.http import conditional_page

FRESH_S = 60


def shared(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Let a visitor's page be kept, and answer 304 where it did not change; a person's own is kept by nobody."""

    @wraps(view)
    def kept(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        is_a_visitors = settings.SESSION_COOKIE_NAME not in request.COOKIES
        if is_a_visitors and response.status_code == 200 and not response.cookies:
            patch_cache_control(response, public=True, max_age=FRESH_S)
            # htmx asks some of them for a fragment.
            patch_vary_headers(response, ["Cookie", "HX-Request"])
        return response

    return conditional_page(kept)
