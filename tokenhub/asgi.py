"""The ASGI application: ``/v1`` to the gateway, everything else to Django, as the role says.

``TOKENHUB_ROLE`` is ``all``, ``web`` or ``gateway`` (``manage.py serve --role``).
"""

import gc
import json
import os
from collections.abc import MutableMapping
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tokenhub.settings")

import django

django.setup()

from django.conf import settings  # noqa: E402  (Django must be set up first)
from django.core.asgi import get_asgi_application  # noqa: E402

from tokenhub import metrics, tracing  # noqa: E402
from tokenhub.api.middleware import PREFIX, too_large  # noqa: E402
from tokenhub.gateway.app import Gateway  # noqa: E402
from tokenhub.gateway.edge import Receive, Scope, Send  # noqa: E402
from tokenhub.gateway.metrics import RuntimeCollector  # noqa: E402
from tokenhub.gateway.protocol import GATEWAY  # noqa: E402
from tokenhub.gateway.runtime import Config, Runtime, TaskTimes, Timeouts  # noqa: E402


def gateway_config() -> Config:
    """The gateway's part of the settings."""
    return Config(
        database_url=settings.DATABASE_URL,
        redis_url=settings.REDIS_URL,
        encryption_keys=tuple(settings.FIELD_ENCRYPTION_KEYS),
        lease_ttl_s=settings.LEASE_TTL_S,
        timeouts=Timeouts(settings.UPSTREAM_PLAIN_TIMEOUT_S, settings.UPSTREAM_STREAM_TIMEOUT_S),
        data_dir=settings.DATA_DIR,
        keep_alive_s=settings.STREAM_KEEP_ALIVE_S,
        tasks=TaskTimes(settings.TASK_DEADLINE_S, settings.TASK_POLL_S),
        public_url=settings.PUBLIC_URL,
    )


class _TooLarge(Exception):
    """A page was sent more than any form of ours holds."""


# Objects made and not yet dropped before the collector looks; a request leaves hardly any in cycles.
GARBAGE_AFTER = 50_000


class Application:
    """Dispatches by path; starts and stops the gateway with the server."""

    def __init__(self, role: str) -> None:
        self._role = role
        # Built here, not at the first request: a broken URLconf must stop the start.
        self._django = None if role == "gateway" else get_asgi_application()
        self._runtime: Runtime | None = None
        self._gateway: Gateway | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection's scope: lifespan or HTTP; nothing here speaks WebSocket."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if self._gateway is not None and (path.startswith("/v1/") or path == "/v1"):
            await self._gateway(scope, receive, send)
        elif path == "/metrics":
            await _metrics(scope, send)
        elif (
            self._gateway is not None
            and path in ("/healthz", "/readyz")
            and self._role == "gateway"
        ):
            await self._health(path, send)
        elif self._django is None:
            await _plain(send, 404, b'{"error": "This process serves /v1 only."}')
        else:
            if path == "/readyz" and self._runtime is not None:
                scope["tokenhub.gateway"] = self._runtime.freshness()
            try:
                await self._django(scope, _bounded(scope, receive), send)  # type: ignore[arg-type]
            except _TooLarge:
                await _too_large(path, send)

    async def _health(self, path: str, send: Send) -> None:
        if path == "/healthz" or self._runtime is None:
            await _plain(send, 200, b'{"status": "ok"}')
            return
        ready = self._runtime.ready
        words = {"status": "ok" if ready else "away", "gateway": self._runtime.freshness()}
        await _plain(send, 200 if ready else 503, json.dumps(words).encode())

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                tracing.start(self._role)
                if self._role in ("all", "web"):
                    metrics.REGISTRY.register(metrics.PlatformCollector())
                if self._role in ("all", "gateway"):
                    self._runtime = Runtime(gateway_config())
                    await self._runtime.start()
                    self._gateway = Gateway(self._runtime)
                    # The protocol serves most calls of models itself (``gateway/direct.py``).
                    scope.get("state", {})[GATEWAY] = self._gateway
                    metrics.REGISTRY.register(RuntimeCollector(self._runtime))
                    _spare_the_collector()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                if self._runtime is not None:
                    await self._runtime.stop()
                tracing.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return


def _bounded(scope: Scope, receive: Receive) -> Receive:
    """``receive`` for Django, which would write a body of any size to the disk before a view sees it."""
    limit: int = settings.WEB_MAX_BODY_BYTES
    size = 0

    async def counted() -> MutableMapping[str, Any]:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise _TooLarge
        return message

    for name, value in scope["headers"]:
        if name == b"content-length" and (not value.isdigit() or int(value) > limit):
            size = limit + 1  # not a byte of it is read
    return counted


def _spare_the_collector() -> None:
    """What is loaded by now stays: the collector need not look through it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_AFTER, 20, 100)


async def _metrics(scope: Scope, send: Send) -> None:
    client = scope.get("client")
    if scope["method"] != "GET" or not metrics.may_read(client and client[0], scope["headers"]):
        await _plain(send, 404, b'{"error": "Not found."}')
        return
    body = await metrics.exposition()
    headers = [
        (b"content-type", metrics.CONTENT_TYPE),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _too_large(path: str, send: Send) -> None:
    """What the REST API answers is a problem, also where no view has seen the request."""
    closing = (b"connection", b"close")
    if not path.startswith(PREFIX):
        await _plain(send, 413, b'{"error": "The body is too large."}', closing)
        return
    answer = too_large(path)
    await _plain(
        send, answer.status_code, answer.content, closing,
        (b"x-request-id", answer["X-Request-Id"].encode()), kind=answer["Content-Type"].encode(),
    )  # fmt: skip


async def _plain(
    send: Send, status: int, body: bytes, *more: tuple[bytes, bytes], kind: bytes = b"application/json"
) -> None:  # fmt: skip
    headers = [
        (b"content-type", kind),
        (b"content-length", b"%d" % len(body)),
        (b"x-content-type-options", b"nosniff"),
        *more,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


application = Application(os.environ.get("TOKENHUB_ROLE", "all"))
