"""Once per ``Idempotency-Key``: a POST that is sent again does nothing again, and is answered the same.

The row is written first, in the transaction of the effect: a crash leaves neither. What ends in an
error leaves nothing either, so that it can be tried again with the same key.
"""

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any, TypeVar

from django.db import connection, transaction
from django.http import HttpResponse
from django.utils import timezone
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from tokenhub.api.models import Remembered
from tokenhub.api.problems import Problem, invalid, not_found

HEADER = "Idempotency-Key"
KEPT_FOR = timedelta(hours=24)
MAX_LENGTH = 255
# Nothing that there is has so long an address.
_MAX_PATH = 300
Handler = TypeVar("Handler", bound=Callable[..., Any])


def once(handler: Handler) -> Handler:
    """Wrap a view's ``post``. What it answers with ``secret_of`` set is never kept with its body."""

    @wraps(handler)
    def guarded(view: Any, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        key = request.headers.get(HEADER)
        if key is None:
            answer: HttpResponse = handler(view, request, *args, **kwargs)
            return answer
        if not 1 <= len(key) <= MAX_LENGTH or not key.isascii() or not key.isprintable():
            raise invalid(HEADER, f"It is 1 to {MAX_LENGTH} printable ASCII characters.")
        if len(request.path) > _MAX_PATH:
            raise not_found("address")
        with transaction.atomic():
            place = _place(request, key)
            digest = hashlib.sha256(json.dumps(request.data, sort_keys=True).encode()).digest()
            _alone(place)
            earlier = Remembered.objects.filter(**place).first()
            if earlier is not None and earlier.created_at > timezone.now() - KEPT_FOR:
                return _again(earlier, digest)
            if earlier is not None:
                earlier.delete()
            row = Remembered.objects.create(**place, request_digest=digest)
            answer = handler(view, request, *args, **kwargs)
            _remember(row, answer)
        return answer

    return guarded  # type: ignore[return-value]  # the same, guarded


def forget(older_than: timedelta = KEPT_FOR) -> int:
    """Drop the answers that nobody may ask for again; returns how many."""
    deleted, _ = Remembered.objects.filter(created_at__lt=timezone.now() - older_than).delete()
    return deleted


def _place(request: Request, key: str) -> dict[str, Any]:
    caller: Any = request.auth
    return {
        "organization": caller.organization if caller else None,
        "credential": caller.name if caller else f"address:{request.META.get('REMOTE_ADDR')}",
        "method": request.method,
        "path": request.path,
        "key": key,
    }


def _alone(place: dict[str, Any]) -> None:
    """Refuse a second request while the first is under way; the lock goes with the transaction."""
    name = "\n".join(str(part) for part in place.values())
    number = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [number])
        if not cursor.fetchone()[0]:
            raise Problem(
                409, "idempotency_in_progress",
                "A request with this Idempotency-Key is under way. Ask again in a moment.",
                headers={"Retry-After": "1"},
            )  # fmt: skip


def _again(earlier: Remembered, digest: bytes) -> HttpResponse:
    if bytes(earlier.request_digest) != digest:
        raise Problem(
            422, "idempotency_key_reused",
            "This Idempotency-Key was used with another body. Use a new one for a new request.",
        )  # fmt: skip
    if earlier.secret_of:
        raise Problem(
            409, "secret_not_replayable",
            f"This request was done before; it was about {earlier.secret_of}, whose secret was shown then and"
            " is not kept. Rotate it to get a new one.",
            headers={"Idempotent-Replayed": "true"}, **_named(earlier.secret_of),
        )  # fmt: skip
    return HttpResponse(
        earlier.body.encode(), status=earlier.status, content_type="application/json",
        headers={"Idempotent-Replayed": "true"},
    )  # fmt: skip


def _named(secret_of: str) -> dict[str, Any]:
    return {"key_id" if secret_of.startswith("key_") else "webhook_id": secret_of}


def _remember(row: Remembered, answer: HttpResponse) -> None:
    row.status = answer.status_code
    row.secret_of = getattr(answer, "secret_of", "")
    if not row.secret_of and isinstance(answer, Response):
        row.body = JSONRenderer().render(answer.data).decode()
    row.save(update_fields=["status", "secret_of", "body"])
