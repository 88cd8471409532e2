"""One simulated Stripe and one shop for each file of tests."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
import stripe

from tests.processes import eventually
from tests.stack.stripe.simulation import SECRET, Shop, Sim, running


@pytest.fixture(scope="module")
def sim() -> Iterator[Sim]:
    server = running()
    yield Sim(server)
    server.stop()


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    made = Shop()

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                event = stripe.Webhook.construct_event(
                    body, self.headers["Stripe-Signature"], SECRET
                )
                made.events.append(event)
            except stripe.SignatureVerificationError:
                made.forged += 1
            self.send_response(made.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
    made.url = f"http://127.0.0.1:{server.server_port}/webhook?x=1"
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield made
    server.shutdown()
    server.server_close()


@pytest.fixture
def listening(sim: Sim, shop: Shop) -> Iterator[Shop]:
    """The shop, with the events of this test only."""
    shop.events.clear()
    shop.status = 200
    sim.control("PUT", "/webhook", {"url": shop.url, "secret": SECRET, "paused": False})
    yield shop
    shop.status = 200
    eventually(lambda: sim.control("GET", "/")["undelivered"] == 0)
    sim.control("PUT", "/webhook", {"url": None})
