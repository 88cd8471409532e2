"""One provider, asked once: the request in its dialect, and what its failures mean."""

import re
import time
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any

import msgspec
import structlog

from routing.types import Offering
from tokenhub.gateway.chat.exchange import Exchange, note
from tokenhub.gateway.credentials import retry_after_s, with_credential
from tokenhub.gateway.dialects import table
from tokenhub.gateway.dialects.base import InvalidResult
from tokenhub.gateway.dialects.request import TextRequest
from tokenhub.gateway.errors import InvalidRequest, NoProviderAvailable
from tokenhub.gateway.offerings import Access
from tokenhub.gateway.runtime import Runtime
from tokenhub.gateway.upstream import Response, UpstreamError

log = structlog.get_logger(__name__)

_URL = re.compile(r"https?://\S+")

CLIENT_ERRORS = frozenset({400, 413, 422})
MAX_ERROR_BYTES = 64 * 1024
MAX_REFUSAL = 500
"""Characters of a provider's words on a client's mistake that are passed on."""


def send(
    runtime: Runtime, exchange: Exchange[TextRequest], offering: Offering
) -> Awaitable[Response]:
    request = exchange.request
    way = table.way(request, offering)
    body = way.request_body(request, offering)

    def ask(access: Access, credential: str) -> Awaitable[Response]:
        return runtime.client.post(
            access.origin,
            way.path,
            {
                **way.headers(credential, request),
                "x-request-id": f"req_{exchange.request_id.hex}",
            },
            body,
            first_byte_timeout_s=runtime.timeouts.stream_s
            if request.stream
            else runtime.timeouts.plain_s,
            streaming=request.stream,
        )

    return with_credential(runtime, offering, ask, exchange.refusals)


async def check_status(runtime: Runtime, response: Response, offering: Offering) -> None:
    if 200 <= response.status < 300:
        return
    if response.status in CLIENT_ERRORS:
        body = await response.read(runtime.timeouts.stream_s)
        access = runtime.snapshot().access.get(offering.id)
        secrets = [secret.value for secret in access.secrets] if access else []
        raise InvalidRequest(_refusal(body, secrets))
    raise UpstreamError(f"http_{response.status}", retry_after_s(response))


def _refusal(body: bytes, secrets: Iterable[str]) -> str:
    """A provider's words on the client's mistake: bounded, without a credential of ours or an address."""
    text = ""
    try:
        answer = msgspec.json.decode(body[:MAX_ERROR_BYTES])
        error = answer.get("error", answer)  # DashScope's words stand at the top
        message = error.get("message") if isinstance(error, dict) else error
        text = message if isinstance(message, str) else ""
    except (msgspec.DecodeError, AttributeError, RecursionError):
        text = ""
    text = " ".join(text.split())
    for secret in filter(None, secrets):
        text = text.replace(secret, "…")
    text = _URL.sub("…", text)
    text = text[:MAX_REFUSAL]  # cut last: a part of a secret would not be found
    return f"The provider refused the request as invalid: {text or 'no reason given'}"


def succeeded(
    runtime: Runtime,
    exchange: Exchange[Any],
    offering: Offering,
    began_s: float,
    written: int = 0,
    first_content_s: float | None = None,
) -> None:
    """A valid result is here, of ``written`` tokens; a whole answer's first content is its end."""
    now_s = time.monotonic()
    first_s = now_s if first_content_s is None else first_content_s
    writing_s = now_s - (began_s if first_content_s is None else first_content_s)
    runtime.breaker.succeeded(
        offering.id,
        int((first_s - began_s) * 1000),
        written / writing_s if written and writing_s > 0 else None,
    )
    note(exchange, offering, "succeeded", exchange.status, began_s)


def written_tokens(units: Mapping[str, int]) -> int:
    """What the model wrote, of a result's units."""
    return units.get("output", 0) + units.get("reasoning", 0)


def none_is_up(runtime: Runtime, model: str) -> NoProviderAvailable:
    """The refusal where providers are left, but every one is down."""
    retry_s = runtime.breaker.retry_after_s(time.monotonic())
    return NoProviderAvailable(
        f"No provider for “{model[:80]}” inside your boundaries is up now. Retry in"
        f" {retry_s:.0f} s, or allow more regions or providers in the preferences.",
        headers={"retry-after": f"{retry_s:.0f}"},
    )


def failed(
    runtime: Runtime,
    exchange: Exchange[Any],
    offering: Offering,
    error: UpstreamError | InvalidResult,
    status: int | None,
    began_s: float,
) -> None:
    if status is None and error.outcome.startswith("http_"):
        status = int(error.outcome.removeprefix("http_"))
    stay_away_s = error.retry_after_s if isinstance(error, UpstreamError) else None
    runtime.breaker.failed(offering.id, time.monotonic(), error.outcome, stay_away_s)
    note(exchange, offering, error.outcome, status, began_s)
    log.info(
        "attempt_failed",
        request_id=f"req_{exchange.request_id.hex}",
        provider=offering.provider,
        region=offering.region,
        outcome=error.outcome,
    )
