"""Customers and the cards that are kept for them."""

import stripe
import structlog

from billing.payments.gate.sdk import client, id_of, said_plainly
from billing.payments.gate.shapes import card_of
from billing.payments.gate.states import Card

log = structlog.get_logger(__name__)


def create_customer(organization_id: str, name: str, email: str) -> str:
    """Stripe's id of an organization, the same for the same organization."""
    with said_plainly():
        made = client().v1.customers.create(
            {"name": name, "email": email, "metadata": {"organization": organization_id}},
            {"idempotency_key": f"customer:{organization_id}"},
        )
    return made.id


def card(stripe_id: str) -> Card | None:
    """A payment method, if it is a card that is kept for somebody."""
    with said_plainly():
        return card_of(client().v1.payment_methods.retrieve(stripe_id))


def detach_card(stripe_id: str) -> None:
    """Have Stripe forget a card; one it does not know any more is forgotten."""
    with said_plainly():
        try:
            client().v1.payment_methods.detach(
                stripe_id, options={"idempotency_key": f"detach:{stripe_id}"}
            )
        except stripe.InvalidRequestError:
            log.info("card_already_detached")


def card_of_setup(setup_id: str) -> Card | None:
    """The card that a finished setup saved."""
    with said_plainly():
        setup = client().v1.setup_intents.retrieve(setup_id)
        if setup.status != "succeeded" or not setup.payment_method:
            return None
        return card_of(client().v1.payment_methods.retrieve(id_of(setup.payment_method)))
