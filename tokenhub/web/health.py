"""``/healthz`` says that the process lives; ``/readyz`` that it can do its work."""

from django.core.cache import cache
from django.db import Error as DatabaseError
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from redis.exceptions import RedisError


@never_cache
def healthz(request: HttpRequest) -> JsonResponse:
    """The process answers."""
    return JsonResponse({"status": "ok"})


@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """Database and broker answer; 503 names what does not. With a gateway in the process, how fresh it is."""
    checks = {"database": _database(), "broker": _broker()}
    ready = all(checks.values())
    words: dict[str, object] = {n: "ok" if well else "away" for n, well in checks.items()}
    gateway = getattr(request, "scope", {}).get("tokenhub.gateway")
    if gateway is not None:
        words["gateway"] = gateway
    return JsonResponse(
        {"status": "ok" if ready else "away", **words}, status=200 if ready else 503
    )


def _database() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True


def _broker() -> bool:
    try:
        cache.get("readyz")
    except (RedisError, OSError):
        return False
    return True
