"""Response headers that say what a browser may not do, on every page and every file."""

from collections.abc import Awaitable, Callable

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import patch_cache_control

# What no page of ours asks a browser for. Signing in by passkey and copying a sample stay allowed.
PERMISSIONS_POLICY = ", ".join(
    f"{feature}=()"
    for feature in (
        "accelerometer", "autoplay", "browsing-topics", "camera", "display-capture", "encrypted-media",
        "geolocation", "gyroscope", "hid", "magnetometer", "microphone", "midi", "payment", "serial",
        "screen-wake-lock", "usb", "xr-spatial-tracking",
    )
)  # fmt: skip

Handler = Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]


class SecurityHeaders:
    """Adds to Django's SecurityMiddleware what that does not know. A view that sets one keeps it."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Handler) -> None:
        self._get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Pass the request on, and put the headers on what comes back."""
        answer = self._get_response(request)
        if isinstance(answer, HttpResponseBase):
            return _with_headers(request, answer)
        return self._later(request, answer)

    async def _later(
        self, request: HttpRequest, answer: Awaitable[HttpResponseBase]
    ) -> HttpResponseBase:
        return _with_headers(request, await answer)


def _with_headers(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    response.headers.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
    response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    response.headers.setdefault("X-Permitted-Cross-Domain-Policies", "none")
    if settings.SESSION_COOKIE_NAME in request.COOKIES or response.cookies:
        by_person = "cookie" in response.headers.get("Vary", "").lower()
        if by_person and "Cache-Control" not in response.headers:
            # A page made for one person is read from no cache: not by the next, not by the back button.
            patch_cache_control(response, private=True, no_store=True)
    return response
