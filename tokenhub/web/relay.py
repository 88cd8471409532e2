"""The console's calls to ``/v1``: over HTTP, as every customer's, whichever process serves it."""

from collections.abc import AsyncIterator

from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import connection
from django.http import HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse

from tokenhub.gateway.upstream import Client, Origin, Response, UpstreamError

# What a page may know of an answer beyond its body.
TOLD = (
    "content-type", "retry-after", "x-request-id", "x-tokenhub-provider", "x-tokenhub-region",
    "x-tokenhub-attempts", "x-tokenhub-cost-usd",
)  # fmt: skip
ATTEMPTS = 3
MARGIN_S = 10.0


def relay(path: str, body: bytes, *, secret: str, session_id: str = "") -> HttpResponseBase:
    """Call ``/v1`` with a key and hand on the answer as it arrives; the key stays here.

    When the browser hangs up, so do we. The gateway then does what it does for everyone: the request
    runs to its end, and is billed if it completes.
    """
    headers = {"authorization": f"Bearer {secret}", "connection": "close"}
    if session_id:
        headers["x-session-id"] = session_id
    _give_back_connection()
    try:
        answer = async_to_sync(_post)(path, headers, body)
    except UpstreamError as error:
        return _away(error)
    response = StreamingHttpResponse(_pieces(answer), status=answer.status)
    for name in TOLD:
        value = answer.header(name.encode()).decode("latin-1")
        if value:
            response[name] = value
    # Compressing would hold back what should be seen at once.
    response["Content-Encoding"] = "identity"
    return response


async def _post(path: str, headers: dict[str, str], body: bytes) -> Response:
    client = Client(_any_address)
    return await client.post(
        Origin.parse(settings.GATEWAY_URL or settings.PUBLIC_URL),
        path,
        headers,
        body,
        first_byte_timeout_s=ATTEMPTS * settings.UPSTREAM_PLAIN_TIMEOUT_S + MARGIN_S,
        streaming=True,
    )


async def _any_address(host: str, _port: int) -> list[str]:
    """The operator configured it: it may well be private, and the event loop resolves it."""
    return [host]


async def _pieces(answer: Response) -> AsyncIterator[bytes]:
    """The body as it arrives. A fault in it ends the body early, which the reader notices."""
    idle_s = ATTEMPTS * settings.UPSTREAM_STREAM_TIMEOUT_S + MARGIN_S
    async with answer:
        async for piece in answer.chunks(idle_s):
            yield piece


def _away(error: UpstreamError) -> HttpResponse:
    message = (
        "The gateway cannot be reached from the console now; nothing was sent. Try again shortly."
    )
    told = {"message": message, "code": "service_unavailable", "type": "api_error", "param": None}
    return JsonResponse({"error": told | {"cause": error.outcome}}, status=503)


def _give_back_connection() -> None:
    """A stream may last minutes; the database connection of its request must not."""
    if not connection.in_atomic_block:
        connection.close()
