"""The simulated Stripe as tests drive it: the genuine library, a browser's forms, its control plane, a shop."""

import http.client
import json
from dataclasses import dataclass, field
from email.message import Message
from typing import Any
from urllib.parse import urlencode, urlsplit

import stripe

from tests.processes import Server

VISA = "4242424242424242"
MASTERCARD = "5555555555554444"
DECLINED = "4000000000000002"
INSUFFICIENT = "4000000000009995"
AUTHENTICATE = "4000002760003184"
DISPUTED = "4000000000000259"
FAILS_LATER = "4000000000000341"
SECRET = "whsec_of_the_test"
SUCCESS = "https://shop.example/done?session={CHECKOUT_SESSION_ID}"
CANCEL = "https://shop.example/back"
DAY_S = 86_400


@dataclass
class Answer:
    status: int
    headers: Message
    body: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def http_call(
    method: str, url: str, body: str | None = None, headers: dict[str, str] | None = None
) -> Answer:
    """One request, as it is: nothing is followed or retried."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target, body, headers or {})
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read().decode())
    finally:
        connection.close()


def submit(url: str, **fields: str) -> Answer:
    """Send the hosted page's form as a browser without JavaScript does."""
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    return http_call("POST", url, urlencode(fields), kind)


def running(*more: str) -> Server:
    return Server(
        ["-m", "tokenhub.stack.stripe", "--port", "{port}", *more], {}, "/_control/"
    ).start()


def client(url: str, retries: int = 0) -> stripe.StripeClient:
    return stripe.StripeClient(
        "sk_test_one", base_addresses={"api": url}, max_network_retries=retries
    )


@dataclass
class Sim:
    """A simulated Stripe and what the tests do with it."""

    server: Server
    api: stripe.V1Services = field(init=False)

    def __post_init__(self) -> None:
        self.api = client(self.url).v1

    @property
    def url(self) -> str:
        return self.server.url

    def control(self, method: str, path: str, body: Any = None) -> Any:
        text = None if body is None else json.dumps(body)
        answer = http_call(method, f"{self.url}/_control{path}", text)
        assert answer.status == 200, answer.body
        return answer.json

    def customer(self, **more: Any) -> stripe.Customer:
        return self.api.customers.create({"email": "ada@example.com", **more})

    def session(self, customer: str, mode: str = "payment", **more: Any) -> Any:
        params: dict[str, Any] = {
            "mode": mode,
            "customer": customer,
            "success_url": SUCCESS,
            "cancel_url": CANCEL,
            "metadata": {"kind": mode},
        }
        if mode != "setup":
            data: dict[str, Any] = {
                "currency": "usd",
                "unit_amount": 2000,
                "product_data": {"name": "Credit"},
            }
            if mode == "subscription":
                data["recurring"] = {"interval": "month"}
            params["line_items"] = [{"price_data": data, "quantity": 1}]
        return self.api.checkout.sessions.create({**params, **more})  # type: ignore[typeddict-item]

    def saved_card(self, number: str = VISA) -> tuple[str, str]:
        """A customer with this card saved through the hosted page; both ids."""
        customer = self.customer().id
        session = self.session(customer, "setup")
        answer = submit(session.url, card=number)
        if answer.status == 200:
            answer = submit(session.url, action="complete")
        assert answer.status == 303, answer.body
        return customer, self.api.customers.payment_methods.list(customer).data[0].id

    def paid(self, number: str = VISA, **more: Any) -> Any:
        """A payment intent that was paid at the hosted page."""
        session = self.session(self.customer().id, **more)
        assert submit(session.url, card=number).status == 303
        return self.api.checkout.sessions.retrieve(
            session.id, {"expand": ["payment_intent.latest_charge"]}
        ).payment_intent

    def subscribed(self, **more: Any) -> stripe.Subscription:
        session = self.session(self.customer().id, "subscription", **more)
        assert submit(session.url, card=VISA).status == 303
        name = self.api.checkout.sessions.retrieve(session.id).subscription
        return self.api.subscriptions.retrieve(str(name))

    def events(self, name: str) -> list[str]:
        """The types of the events about an object, the oldest first."""
        return [
            event["type"]
            for event in self.control("GET", "/events")["data"]
            if event["data"]["object"]["id"] == name
        ]

    def off_session(self, customer: str, method: str, **more: Any) -> stripe.PaymentIntent:
        return self.api.payment_intents.create(
            {
                "amount": 1500,
                "currency": "usd",
                "customer": customer,
                "payment_method": method,
                "off_session": True,
                "confirm": True,
                **more,
            }
        )


@dataclass
class Shop:
    """A shop's webhook: checks signatures with the genuine library, and may be out of order."""

    url: str = ""
    status: int = 200
    events: list[stripe.Event] = field(default_factory=list)
    forged: int = 0

    def about(self, name: str) -> list[str]:
        return [event.type for event in list(self.events) if event.data.object["id"] == name]
