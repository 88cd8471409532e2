"""How often one visitor may knock at a door: counted in the shared cache, so in every process together.

Signing in and up, resetting and codes are counted by allauth (``ACCOUNT_RATE_LIMITS``), the REST API by
its throttles; this is for the doors that are ours.
"""

from collections.abc import Callable
from functools import wraps
from hashlib import sha256
from typing import Concatenate, ParamSpec

from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render

P = ParamSpec("P")


def may_knock(door: str, who: str, *, most: int, within_s: int) -> bool:
    """Count a knock; whether it is one of the first ``most`` of its window."""
    # A digest: no address of a person in the cache, and no character that a key may not have.
    counted = f"door:{door}:{sha256(who.encode()).hexdigest()}"
    cache.add(counted, 0, within_s)
    try:
        return bool(cache.incr(counted) <= most)
    except ValueError:  # the window ended between the two: this is the first of the next
        cache.set(counted, 1, within_s)
        return True


def limited(
    door: str, *, most: int, within_s: int = 60
) -> Callable[
    [Callable[Concatenate[HttpRequest, P], HttpResponseBase]],
    Callable[Concatenate[HttpRequest, P], HttpResponseBase],
]:
    """Answer a view's visitors of one network address with 429 beyond ``most`` in ``within_s``."""

    def guard(
        view: Callable[Concatenate[HttpRequest, P], HttpResponseBase],
    ) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
        @wraps(view)
        def guarded(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            who = str(request.META.get("REMOTE_ADDR"))
            if may_knock(door, who, most=most, within_s=within_s):
                return view(request, *args, **kwargs)
            return too_often(request, within_s)

        return guarded  # type: ignore[return-value]  # mypy keeps the parameter names

    return guard


def too_often(request: HttpRequest, retry_after_s: int) -> HttpResponse:
    """The page for whoever has to wait."""
    response = render(request, "429.html", status=429)
    response["Retry-After"] = str(retry_after_s)
    return response
