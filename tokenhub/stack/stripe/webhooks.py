"""Events: read by the API, and posted to the webhook until they are taken."""

import hashlib
import hmac
import http.client
import threading
import time
from urllib.parse import urlsplit

import msgspec

from tokenhub.stack.stripe import checkout, forms
from tokenhub.stack.stripe.store import Obj, Store

DELAYS_S = (0.5, 1, 2, 5, 10, 30, 60)
MAX_TRIES = 24
TIMEOUT_S = 10.0
SWEEP_S = 5.0


def sign(secret: str, body: bytes, at: int) -> str:
    """The ``Stripe-Signature`` header of a body that is sent at this time."""
    signed = hmac.new(secret.encode(), b"%d.%b" % (at, body), hashlib.sha256).hexdigest()
    return f"t={at},v1={signed}"


def post(url: str, secret: str, body: bytes) -> int | None:
    """Post an event; the status of the answer, or None when there was none."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Stripe-Signature": sign(secret, body, int(time.time())),
        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
    }
    connection: http.client.HTTPConnection | None = None
    try:
        connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
        connection.request("POST", target, body, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        if connection is not None:
            connection.close()


class Deliverer(threading.Thread):
    """Posts events in the background, the oldest that is due first; one that fails waits its turn."""

    def __init__(self, store: Store) -> None:
        super().__init__(name="webhooks", daemon=True)
        self._store = store
        self._ended = False

    def stop(self) -> None:
        """Begin nothing more."""
        with self._store.wake:
            self._ended = True
            self._store.wake.notify_all()

    def run(self) -> None:
        """Deliver until told to stop; also expires sessions nobody looks at."""
        store = self._store
        swept = time.monotonic()
        while True:
            with store.wake:
                if self._ended:
                    return
                if time.monotonic() - swept >= SWEEP_S:
                    swept = time.monotonic()
                    with store.transaction():
                        checkout.expire_old(store)
                name = self._due()
                if name is None:
                    store.wake.wait(self._pause_s())
                    continue
            deliver(store, name)

    def _due(self) -> str | None:
        store = self._store
        if store.webhook["paused"] or not store.webhook["url"]:
            return None
        moment = time.time()
        return next(
            (
                name
                for name, delivery in store.deliveries.items()
                if delivery["next_at"] is not None and delivery["next_at"] <= moment
            ),
            None,
        )

    def _pause_s(self) -> float:
        if self._store.webhook["paused"] or not self._store.webhook["url"]:
            return SWEEP_S
        due = [delivery["next_at"] for delivery in self._store.deliveries.values()]
        soonest: float | None = min((at for at in due if at is not None), default=None)
        if soonest is None:
            return SWEEP_S
        return min(SWEEP_S, max(0.001, soonest - time.time()))


def deliver(store: Store, name: str) -> int | None:
    """Try an event once; the status of the answer, or None. The lock is not held meanwhile."""
    with store.lock:
        event = store.tables["event"].get(name)
        webhook = dict(store.webhook)
        if event is None or not webhook["url"]:
            return None
        body = msgspec.json.encode(event)
    status = post(webhook["url"], webhook["secret"], body)
    with store.transaction():
        delivery = store.deliveries.get(name)
        if delivery is None:  # it was delivered before, or forgotten meanwhile
            return status
        store.dirty = True
        if status is not None and 200 <= status < 300:
            del store.deliveries[name]
            event["pending_webhooks"] = 0
        else:
            tries = delivery["tries"] + 1
            delay = DELAYS_S[min(tries, len(DELAYS_S)) - 1]
            delivery |= {
                "tries": tries,
                "next_at": None if tries >= MAX_TRIES else time.time() + delay,
            }
    return status


def retry_all(store: Store) -> None:
    """Try everything undelivered afresh, as after the webhook's address changed."""
    for delivery in store.deliveries.values():
        delivery |= {"tries": 0, "next_at": time.time()}
    store.dirty = True
    store.wake.notify_all()


def retrieve(store: Store, params: Obj, name: str) -> Obj:
    """One event."""
    return store.get("event", name)


def listing(store: Store, params: Obj) -> Obj:
    """Events, by type, or by several with ``types[]``."""
    several = forms.sequence(params, "types")
    return store.listing(
        "event",
        params,
        "/v1/events",
        ("type",),
        lambda event: not several or event["type"] in several,
    )


ROUTES = [
    ("GET", "/v1/events", listing),
    ("GET", "/v1/events/{id}", retrieve),
]
