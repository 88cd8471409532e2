"""What the simulated Stripe remembers: objects, events, answers to repeat, under one lock."""

import os
import secrets
import string
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from tokenhub.stack.stripe import forms
from tokenhub.stack.stripe.errors import invalid, no_such

Obj = dict[str, Any]

API_VERSION = "2026-10-28.endive"
DAY_S = 86_400
EVENTS_KEPT_S = 30 * DAY_S
REPLIES_KEPT_S = DAY_S
_ALPHABET = string.ascii_letters + string.digits

PREFIXES = {
    "customer": "cus_",
    "payment_method": "pm_",
    "payment_intent": "pi_",
    "setup_intent": "seti_",
    "charge": "ch_",
    "refund": "re_",
    "dispute": "du_",
    "checkout.session": "cs_test_",
    "subscription": "sub_",
    "invoice": "in_",
    "invoice_payment": "inpay_",
    "product": "prod_",
    "price": "price_",
    "event": "evt_",
}
# What an error calls an object, and the parameter it blames for an id in the address.
_SPOKEN = {
    "payment_method": "PaymentMethod",
    "price": "price",
    "checkout.session": "checkout.session",
}
_BLAMED = {
    "payment_method": "payment_method",
    "payment_intent": "intent",
    "setup_intent": "intent",
    "checkout.session": "session",
    "charge": "charge",
    "refund": "refund",
    "dispute": "dispute",
    "invoice": "invoice",
}


def new_id(prefix: str, length: int = 24) -> str:
    """A fresh random id with one of Stripe's prefixes."""
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(length))


def snapshot(obj: Obj) -> Obj:
    """A copy that later changes do not reach."""
    copied: Obj = msgspec.json.decode(msgspec.json.encode(obj))
    return copied


def now() -> int:
    """Unix seconds."""
    return int(time.time())


class Store:
    """All state. Whoever reads or changes it is inside ``transaction()``."""

    def __init__(self, url: str = "", path: Path | None = None) -> None:
        self.url = url
        self.lock = threading.RLock()
        self.wake = threading.Condition(self.lock)
        self.dirty = False
        self._path = path
        self._request: Obj = {"id": None, "idempotency_key": None}
        self.webhook: Obj = {"url": None, "secret": "", "paused": False}
        self._clear()
        if path is not None and path.exists():
            self._load(path)

    def _clear(self) -> None:
        self.tables: dict[str, dict[str, Obj]] = {kind: {} for kind in PREFIXES}
        # What Stripe knows and does not show, by the id of the object.
        self.private: dict[str, Obj] = {}
        self.replies: dict[str, Obj] = {}
        # Events still to be delivered: {"tries", "next_at"}; next_at is None when it gave up.
        self.deliveries: dict[str, Obj] = {}

    def reset(self) -> None:
        """Forget everything but where events go."""
        self._clear()
        self.webhook["paused"] = False
        self.dirty = True

    # persistence

    @contextmanager
    def transaction(
        self, request_id: str | None = None, idempotency_key: str | None = None
    ) -> Iterator[None]:
        """Hold the lock; write the state file at the end if anything changed."""
        with self.lock:
            self._request = {"id": request_id, "idempotency_key": idempotency_key}
            try:
                yield
            finally:
                self._request = {"id": None, "idempotency_key": None}
                if self.dirty:
                    self.save()

    def save(self) -> None:
        """Replace the state file as a whole, so that no reader or crash sees half of it."""
        self.dirty = False
        if self._path is None:
            return
        body = msgspec.json.encode(
            {
                "tables": self.tables,
                "private": self.private,
                "replies": self.replies,
                "deliveries": self.deliveries,
                "webhook": self.webhook,
            }
        )
        draft = self._path.with_name(f".{self._path.name}.{os.getpid()}.tmp")
        # It holds the webhook's secret.
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(body)
        draft.replace(self._path)

    def _load(self, path: Path) -> None:
        state: Obj = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        self.tables |= state["tables"]
        self.private = state["private"]
        self.deliveries = state["deliveries"]
        self.webhook = state["webhook"]
        oldest_reply, oldest_event = now() - REPLIES_KEPT_S, now() - EVENTS_KEPT_S
        self.replies = {
            key: reply for key, reply in state["replies"].items() if reply["at"] >= oldest_reply
        }
        self.tables["event"] = {
            name: event
            for name, event in self.tables["event"].items()
            if event["created"] >= oldest_event or name in self.deliveries
        }

    # objects

    def add(self, kind: str, fields: Obj, private: Obj | None = None, *, length: int = 24) -> Obj:
        """Make an object and keep it."""
        obj: Obj = {
            "id": new_id(PREFIXES[kind], length),
            "object": kind,
            "created": now(),
            **fields,
        }
        if kind != "refund":  # the one kind that does not say
            obj["livemode"] = False
        self.tables[kind][obj["id"]] = obj
        if private is not None:
            self.private[obj["id"]] = private
        self.dirty = True
        return obj

    def get(self, kind: str, name: str) -> Obj:
        """The object that a request's address names."""
        obj = self.tables[kind].get(name)
        if obj is None:
            raise no_such(_SPOKEN.get(kind, kind), name, _BLAMED.get(kind, "id"))
        return obj

    def reference(self, kind: str, name: str, param: str) -> Obj:
        """The object that a parameter names."""
        obj = self.tables[kind].get(name)
        if obj is None:
            raise no_such(_SPOKEN.get(kind, kind), name, param, status=400)
        return obj

    def find(self, name: str) -> Obj | None:
        """The object with this id, of whatever kind."""
        return next((table[name] for table in self.tables.values() if name in table), None)

    def listing(
        self,
        kind: str,
        params: Obj,
        url: str,
        fields: tuple[str, ...] = (),
        where: Callable[[Obj], bool] = lambda _: True,
    ) -> Obj:
        """A page of a kind's objects, the newest first; ``fields`` may be asked for by equality."""
        wanted = {name: value for name in fields if (value := forms.text(params, name))}
        found = [
            obj
            for obj in reversed(self.tables[kind].values())
            if all(obj.get(name) == value for name, value in wanted.items())
            and _in_time(obj["created"], params.get("created"))
            and where(obj)
        ]
        return page(found, params, url)

    # events

    def emit(self, kind: str, obj: Obj, before: Obj | None = None) -> Obj:
        """Record that something happened to ``obj``; ``before`` is its snapshot from before."""
        data: Obj = {"object": snapshot(obj)}
        if before is not None:
            data["previous_attributes"] = {
                name: value for name, value in before.items() if obj.get(name) != value
            }
        # As with Stripe, what happens while nobody listens is recorded and not sent later.
        queued = bool(self.webhook["url"] or self.webhook["paused"])
        event = self.add(
            "event",
            {
                "api_version": API_VERSION,
                "data": data,
                "pending_webhooks": int(queued),
                "request": dict(self._request),
                "type": kind,
            },
        )
        if queued:
            self.deliveries[event["id"]] = {"tries": 0, "next_at": time.time()}
            self.wake.notify_all()
        return event


def page(found: list[Obj], params: Obj, url: str) -> Obj:
    """One page of a list that is already in its order (the newest first)."""
    limit = forms.integer(params, "limit")
    limit = 10 if limit is None else limit
    if not 1 <= limit <= 100:
        raise invalid(
            "Invalid limit: it must be between 1 and 100.",
            code="parameter_invalid_integer",
            param="limit",
        )
    after, before = forms.text(params, "starting_after"), forms.text(params, "ending_before")
    names = [obj["id"] for obj in found]
    for param, cursor in (("starting_after", after), ("ending_before", before)):
        if cursor is not None and cursor not in names:
            raise no_such("object", cursor, param, status=400)
    if before is not None:
        end = names.index(before)
        chosen, more = found[max(0, end - limit) : end], end > limit
    else:
        start = 0 if after is None else names.index(after) + 1
        chosen, more = found[start : start + limit], len(found) > start + limit
    return {"object": "list", "url": url, "has_more": more, "data": chosen}


def _in_time(created: int, limits: Any) -> bool:
    if limits is None or limits == "":
        return True
    if isinstance(limits, str):
        return created == forms.integer({"created": limits}, "created")
    given = {name: forms.integer(limits, name) for name in ("gt", "gte", "lt", "lte")}
    return (
        (given["gt"] is None or created > given["gt"])
        and (given["gte"] is None or created >= given["gte"])
        and (given["lt"] is None or created < given["lt"])
        and (given["lte"] is None or created <= given["lte"])
    )
