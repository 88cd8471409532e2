"""The API below ``/v1``: who asks, whether it was asked before, and which function answers."""

import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tokenhub.stack.stripe import (
    charges,
    checkout,
    customers,
    disputes,
    forms,
    invoices,
    payments,
    prices,
    setups,
    subscriptions,
    webhooks,
)
from tokenhub.stack.stripe.errors import Refused, invalid
from tokenhub.stack.stripe.faults import Faults
from tokenhub.stack.stripe.rendering import render
from tokenhub.stack.stripe.store import (
    API_VERSION,
    REPLIES_KEPT_S,
    Obj,
    Store,
    new_id,
    now,
)

Handler = Callable[..., Obj]
MAX_WRITES = 20_000
MAX_KEY_CHARS = 255


@dataclass(frozen=True)
class Request:
    """A request to the API; ``parameters`` is its form or query, still encoded."""

    method: str
    path: str
    parameters: str
    authorization: str = ""
    idempotency_key: str | None = None
    version: str | None = None


@dataclass(frozen=True)
class Reply:
    """An answer of the API."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


def _routes() -> list[tuple[str, re.Pattern[str], Handler]]:
    modules: tuple[Any, ...] = (
        customers, payments, setups, charges, disputes, checkout, prices, subscriptions, invoices,
        webhooks,
    )  # fmt: skip
    return [
        (method, re.compile(pattern.replace("{id}", "([^/]+)")), handler)
        for module in modules
        for method, pattern, handler in module.ROUTES
    ]


_ROUTES = _routes()


class Api:
    """Answers requests; ``secret_key`` None takes any test key."""

    def __init__(self, store: Store, secret_key: str | None = None) -> None:
        self._store = store
        self._secret_key = secret_key
        self.faults = Faults()
        self.writes: deque[Obj] = deque(maxlen=MAX_WRITES)

    def answer(self, request: Request) -> Reply | None:
        """The reply, or None when a fault wants the connection closed without one."""
        request_id = new_id("req_", 14)
        headers = {
            "Request-Id": request_id,
            "Stripe-Version": request.version or API_VERSION,
        }
        if request.idempotency_key:
            headers["Idempotency-Key"] = request.idempotency_key
        with self._store.transaction(request_id, request.idempotency_key):
            try:
                self._authenticate(request.authorization)
            except Refused as refused:
                return Reply(refused.status, msgspec.json.encode(refused.body), headers)
            fault = self.faults.take(request.method, request.path)
            write = self._log(request, request_id)
            if fault is not None:
                write["fault"] = fault.status
            if fault is not None and fault.status == "drop_before":
                return None
            if fault is not None and isinstance(fault.status, int):
                write["status"] = fault.status
                return Reply(fault.status, _API_ERROR, headers)
            status, body, replayed = self._once(request)
            write |= {"status": status, "replayed": replayed}
        if fault is not None:
            return None
        if replayed:
            headers["Idempotent-Replayed"] = "true"
        return Reply(status, body, headers)

    def _authenticate(self, authorization: str) -> None:
        scheme, _, key = authorization.partition(" ")
        if scheme != "Bearer" or not key:
            raise Refused(
                401,
                "invalid_request_error",
                "You did not provide an API key. You need to provide your API key in the"
                " Authorization header, using Bearer auth.",
            )
        if key == self._secret_key or (self._secret_key is None and key.startswith("sk_test_")):
            return
        shown = f"{key[:8]}{'*' * 8}{key[-4:]}" if len(key) > 16 else "*" * 8
        raise Refused(401, "invalid_request_error", f"Invalid API Key provided: {shown}")

    def _log(self, request: Request, request_id: str) -> Obj:
        entry: Obj = {
            "request_id": request_id,
            "method": request.method,
            "path": request.path,
            "parameters": request.parameters,
            "idempotency_key": request.idempotency_key,
            "at": time.time(),
            "status": None,
            "replayed": False,
            "fault": None,
        }
        if request.method != "GET":
            self.writes.append(entry)
        return entry

    def _once(self, request: Request) -> tuple[int, bytes, bool]:
        """Do it, or repeat the answer given to this idempotency key before."""
        store, key = self._store, request.idempotency_key
        try:
            params = forms.decode(request.parameters)
            if key is None or request.method == "GET":
                return *self._run(request, params), False
            if len(key) > MAX_KEY_CHARS:
                raise invalid("Idempotency keys are up to 255 characters long.")
            known = store.replies.get(key)
            if known is not None and known["at"] >= now() - REPLIES_KEPT_S:
                _same(known, request, params, key)
                return known["status"], known["body"].encode(), True
        except Refused as refused:
            return refused.status, msgspec.json.encode(refused.body), False
        status, body = self._run(request, params)
        # As with Stripe, what never began is not kept: the key may be used again once it is put right.
        if status < 400 or not _never_began(body):
            store.replies[key] = {
                "at": now(),
                "method": request.method,
                "path": request.path,
                "params": params,
                "status": status,
                "body": body.decode(),
            }
            store.dirty = True
        return status, body, False

    def _run(self, request: Request, params: Obj) -> tuple[int, bytes]:
        store = self._store
        if request.method != "GET":
            store.dirty = True
        try:
            for method, pattern, handler in _ROUTES:
                found = pattern.fullmatch(request.path)
                if method == request.method and found is not None:
                    made = handler(store, params, *found.groups())
                    paths = forms.sequence(params, "expand")
                    return 200, msgspec.json.encode(render(store, made, paths))
            raise Refused(
                404,
                "invalid_request_error",
                f"Unrecognized request URL ({request.method}: {request.path}).",
            )
        except Refused as refused:
            return refused.status, msgspec.json.encode(refused.body)


_API_ERROR = msgspec.json.encode(
    {
        "error": {
            "type": "api_error",
            "message": "An unknown error occurred.",
        }
    }
)


def _same(known: Obj, request: Request, params: Obj, key: str) -> None:
    other = f"Try using a key other than '{key}' if you meant to execute a different request."
    if (known["method"], known["path"]) != (request.method, request.path):
        raise Refused(
            400,
            "idempotency_error",
            "Keys for idempotent requests can only be used for the same endpoint they were first"
            f" used for ('{known['path']}' vs '{request.path}'). {other}",
        )
    if known["params"] != params:
        raise Refused(
            400,
            "idempotency_error",
            "Keys for idempotent requests can only be used with the same parameters they were"
            f" first used with. {other}",
        )


def _never_began(body: bytes) -> bool:
    code: str = msgspec.json.decode(body)["error"].get("code", "")
    return code.startswith("parameter_")
