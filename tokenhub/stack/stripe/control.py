"""The control plane below ``/_control``: what Stripe's dashboard, banks and bad luck do.

==================================== =====================================================
GET    /                             what there is
PUT    /webhook                      ``{"url", "secret", "paused"}``: where events go; paused, they pile up
GET    /events?undelivered=1&type=   events, the oldest first
POST   /events/{id}/deliver          ``{"times": n}``: deliver now, paused or not; the statuses of the answers
POST   /disputes                     ``{"payment_intent" or "charge", "amount"}``
POST   /disputes/{id}/close          ``{"outcome": "won" or "lost"}``
POST   /refunds                      ``{"payment_intent" or "charge", "amount"}``, as from the dashboard
POST   /refunds/{id}/fail            the bank sends a refund back
POST   /subscriptions/{id}/renew     ``{"outcome": "paid" or "failed"}``: the next period begins
POST   /subscriptions/{id}/end       it ends: when that was arranged, else for want of payment
PUT    /faults                       see ``faults.py``; GET lists them, DELETE takes them away
GET    /requests?path=               the API's writes, the oldest first; DELETE forgets them
POST   /reset                        forget everything but where events go
==================================== =====================================================
"""

import ipaddress
import re
from collections.abc import Callable
from email.message import Message
from typing import Any
from urllib.parse import parse_qs

import msgspec

from tokenhub.stack.stripe import charges, disputes, subscriptions, webhooks
from tokenhub.stack.stripe.api import Api
from tokenhub.stack.stripe.errors import Refused, invalid
from tokenhub.stack.stripe.store import Obj, Store, snapshot

MAX_TIMES = 100
_DELIVER = re.compile(r"/events/([^/]+)/deliver")
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


def is_local(address: str, headers: Message) -> bool:
    """Whether a request comes from this machine itself, and not through a proxy on it."""
    if any(headers.get(name) is not None for name in _FORWARDED):
        return False
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return bool((mapped or parsed).is_loopback)


class Control:
    """Answers requests below ``/_control``."""

    def __init__(self, store: Store, api: Api) -> None:
        self._store = store
        self._api = api
        self._routes: list[tuple[str, re.Pattern[str], Callable[..., Any]]] = [
            (method, re.compile(pattern), handler)
            for method, pattern, handler in (
                ("GET", "/?", self._summary),
                ("PUT", "/webhook", self._webhook),
                ("GET", "/events", self._events),
                ("POST", "/disputes", self._dispute),
                ("POST", "/disputes/([^/]+)/close", self._close),
                ("POST", "/refunds", self._refund),
                ("POST", "/refunds/([^/]+)/fail", self._fail_refund),
                ("POST", "/subscriptions/([^/]+)/renew", self._renew),
                ("POST", "/subscriptions/([^/]+)/end", self._end),
                ("PUT", "/faults", self._put_fault),
                ("GET", "/faults", self._faults),
                ("DELETE", "/faults", self._clear_faults),
                ("GET", "/requests", self._requests),
                ("DELETE", "/requests", self._forget_requests),
                ("POST", "/reset", self._reset),
            )
        ]

    def answer(self, method: str, path: str, query: str, body: bytes) -> tuple[int, bytes]:
        """The status and JSON for a path below ``/_control``."""
        try:
            given = _given(query, body)
            delivery = _DELIVER.fullmatch(path)
            if delivery is not None and method == "POST":
                made = self._deliver(delivery.group(1), given)
            else:
                made = self._arrange(method, path, given)
        except Refused as refused:
            return refused.status, msgspec.json.encode(refused.body)
        return 200, made

    def _arrange(self, method: str, path: str, given: Obj) -> bytes:
        for wanted, pattern, handler in self._routes:
            found = pattern.fullmatch(path)
            if wanted == method and found is not None:
                with self._store.transaction():
                    if method != "GET":
                        self._store.dirty = True
                    return msgspec.json.encode(handler(given, *found.groups()))
        raise Refused(404, "invalid_request_error", f"No such control: {method} {path}")

    def _summary(self, given: Obj) -> Obj:
        store = self._store
        return {
            "url": store.url,
            "objects": {kind: len(table) for kind, table in store.tables.items()},
            "webhook": {**store.webhook, "secret": bool(store.webhook["secret"])},
            "undelivered": len(store.deliveries),
            "faults": self._api.faults.listing(),
        }

    def _webhook(self, given: Obj) -> Obj:
        kinds = {"url": (str, type(None)), "secret": (str,), "paused": (bool,)}
        for name, value in given.items():
            if not isinstance(value, kinds.get(name, ())):
                raise invalid("The webhook has a url, a secret and paused.", param=name)
        self._store.webhook |= given
        webhooks.retry_all(self._store)
        return {**self._store.webhook, "secret": bool(self._store.webhook["secret"])}

    def _events(self, given: Obj) -> Obj:
        pending = self._store.deliveries
        only_pending = given.get("undelivered") not in (None, "", "0", "false")
        data = [
            {
                **event,
                "undelivered": name in pending,
                "tries": pending.get(name, {}).get("tries", 0),
            }
            for name, event in self._store.tables["event"].items()
            if (not only_pending or name in pending) and given.get("type") in (None, event["type"])
        ]
        return {"data": data}

    def _deliver(self, name: str, given: Obj) -> bytes:
        times = given.get("times", 1)
        if not isinstance(times, int) or not 1 <= times <= MAX_TIMES:
            raise invalid(f"times is 1 to {MAX_TIMES}.", param="times")
        with self._store.lock:
            self._store.get("event", name)
            if not self._store.webhook["url"]:
                raise invalid("There is no webhook to deliver to.")
        # Outside the lock: whoever receives the event may well ask the API about it.
        statuses = [webhooks.deliver(self._store, name) for _ in range(times)]
        return msgspec.json.encode({"statuses": statuses})

    def _dispute(self, given: Obj) -> Obj:
        return snapshot(disputes.by_hand(self._store, _as_form(given)))

    def _close(self, given: Obj, name: str) -> Obj:
        return disputes.close(self._store, name, str(given.get("outcome")))

    def _refund(self, given: Obj) -> Obj:
        return charges.refund(self._store, _as_form(given))

    def _fail_refund(self, given: Obj, name: str) -> Obj:
        return charges.fail_refund(self._store, name)

    def _renew(self, given: Obj, name: str) -> Obj:
        return subscriptions.renew(self._store, name, str(given.get("outcome", "paid")))

    def _end(self, given: Obj, name: str) -> Obj:
        return subscriptions.end(self._store, name)

    def _put_fault(self, given: Obj) -> Obj:
        self._api.faults.put(given)
        return self._faults(given)

    def _faults(self, given: Obj) -> Obj:
        return {"data": self._api.faults.listing()}

    def _clear_faults(self, given: Obj) -> Obj:
        self._api.faults.clear()
        return self._faults(given)

    def _requests(self, given: Obj) -> Obj:
        path = given.get("path")
        return {"data": [write for write in self._api.writes if path in (None, write["path"])]}

    def _forget_requests(self, given: Obj) -> Obj:
        self._api.writes.clear()
        return {"data": []}

    def _reset(self, given: Obj) -> Obj:
        self._store.reset()
        self._api.faults.clear()
        self._api.writes.clear()
        return self._summary(given)


def _given(query: str, body: bytes) -> Obj:
    named: Obj = {name: values[-1] for name, values in parse_qs(query).items()}
    if not body:
        return named
    try:
        return named | msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise invalid(f"The body is not a JSON object: {error}") from error


def _as_form(given: Obj) -> Obj:
    """JSON's numbers as the form texts that the API's functions read."""
    return {name: str(value) for name, value in given.items() if value is not None}
