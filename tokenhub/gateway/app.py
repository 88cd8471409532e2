"""The data plane as a raw ASGI application: ``/v1`` without Django's request machinery.

path → endpoint (``endpoints``): authenticate → parse → (``chat``: decide → admit → attempt ×≤3 →
meter → settle) → client
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from tokenhub import tracing
from tokenhub.gateway import logs, metrics
from tokenhub.gateway.call import Call
from tokenhub.gateway.edge import AsgiEdge, ClientGone, Edge, Receive, Scope, Send
from tokenhub.gateway.endpoints import embeddings, images, models, text, videos
from tokenhub.gateway.errors import (
    GatewayError,
    InternalError,
    MethodNotAllowed,
    NotFound,
    anthropic_shape,
)
from tokenhub.gateway.idempotency import AnsweredBefore
from tokenhub.gateway.media import content
from tokenhub.gateway.media.links import PATH as MEDIA_LINKS
from tokenhub.gateway.runtime import Runtime

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Route:
    """What answers a path. A new endpoint is a function in ``endpoints`` and a line below."""

    method: str
    endpoint: Callable[[Call], Awaitable[None]]


ROUTES = {
    "/v1/chat/completions": Route("POST", text.create_completion),
    "/v1/embeddings": Route("POST", embeddings.create),
    "/v1/messages": Route("POST", text.create_message),
    "/v1/messages/count_tokens": Route("POST", text.count_tokens),
    "/v1/responses": Route("POST", text.create_response),
    "/v1/images/generations": Route("POST", images.generate),
    "/v1/images/edits": Route("POST", images.edit),
    "/v1/video/generations": Route("POST", videos.generate),
    "/v1/videos": Route("POST", videos.create),
    "/v1/models": Route("GET", models.index),
}
# What follows the prefix is ``call.tail``; names of models have slashes.
PREFIXES = (
    ("/v1/models/", Route("GET", models.show)),
    ("/v1/video/tasks/", Route("GET", videos.task)),
    ("/v1/videos/", Route("GET", videos.show)),
    (MEDIA_LINKS, Route("GET", content.show)),
)
ANTHROPIC = "/v1/messages"


class Gateway:
    """The ASGI application of ``/v1``; ``serve`` is what it does, whatever the edge."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request of an ASGI server."""
        await self.serve(AsgiEdge(scope, receive, send))

    async def serve(self, edge: Edge) -> None:
        """Answer one request; nothing but an answer ever leaves."""
        began_s = time.monotonic()
        call = Call(self._runtime, edge)
        tracing.begin()
        logs.current.set(call)
        code = ""
        path = edge.path.rstrip("/")
        if path == ANTHROPIC or path.startswith(ANTHROPIC + "/"):
            call.error_shape = anthropic_shape
        try:
            await _route(call, path, edge.method).endpoint(call)
        except GatewayError as error:
            code = error.code
            await call.refuse(error)
            if error.status >= 500:
                log.warning("request_refused", status=error.status, code=code)
        except AnsweredBefore as before:
            await call.repeat(before)
        except ClientGone:
            code = "client_gone"
        except Exception:
            code = InternalError.code
            log.exception("request_failed")
            await call.refuse(
                InternalError(f"Something went wrong on our side. Quote {call.public_id} to us.")
            )
        finally:
            call.close()
            call.leave()
            _note(call, edge, code, time.monotonic() - began_s)
            await call.end_claim()


def _note(call: Call, edge: Edge, code: str, took_s: float) -> None:
    """Count how a request ended, and trace it where traces are wanted."""
    metrics.answered(call.status, code, took_s)
    if tracing.is_on():
        path = edge.path.rstrip("/")
        name = f"{edge.method} {path if path in ROUTES else '/v1/…'}"
        tracing.record(
            name, took_s, {**call.names(), "http.response.status_code": call.status, "code": code}
        )


def _route(call: Call, path: str, method: str) -> Route:
    route = ROUTES.get(path)
    if route is None:
        for prefix, candidate in PREFIXES:
            if path.startswith(prefix):
                route, call.tail = candidate, path.removeprefix(prefix)
                break
        else:
            raise NotFound(f"There is no {path[:100]} here; see the documentation.")
    if method != route.method and not (method == "HEAD" and route.method == "GET"):
        raise MethodNotAllowed(f"Use {route.method}.", headers={"allow": route.method})
    return route
