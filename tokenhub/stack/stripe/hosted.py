"""Paying at the hosted page: a session's card is tried, and the session completed when it works."""

from tokenhub.stack.stripe import (
    cards,
    checkout,
    collecting,
    customers,
    disputes,
    intents,
    pages,
    setups,
    subscriptions,
)
from tokenhub.stack.stripe.pages import Answer
from tokenhub.stack.stripe.store import Obj, Store, now


def answer(store: Store, method: str, path: str, form: dict[str, list[str]]) -> Answer:
    """The page below ``/pay/`` or ``/authenticate/`` for this request."""
    _, place, name, *more = [*path.split("/"), ""]
    if place == "pay" and more == [""]:
        checkout.expire_old(store)
        session = store.tables["checkout.session"].get(name)
        if session is not None:
            return _pay_page(store, session, method, form)
    if place == "authenticate" and more == [""]:
        intent = store.tables["payment_intent"].get(name)
        if intent is not None:
            return _authenticate_page(store, intent, method, form)
    return pages.notice(404, "No such page", "There is nothing to pay at this address.")


def _pay_page(store: Store, session: Obj, method: str, form: dict[str, list[str]]) -> Answer:
    writing = method == "POST"
    if session["status"] == "complete":
        return pages.notice(
            409 if writing else 200,
            "Already complete",
            "This session is complete. Nothing more was charged.",
            back=_success_url(session),
        )
    if session["status"] == "expired":
        return pages.notice(
            409 if writing else 200,
            "Expired",
            "This session has expired. Nothing was charged.",
            back=session["cancel_url"],
        )
    if not writing:
        return pages.form(200, _offer(store, session))
    action = form.get("action", ["pay"])[-1]
    if action == "cancel":
        if session["cancel_url"] is None:
            return pages.notice(200, "Canceled", "Nothing was charged.")
        return pages.redirect(session["cancel_url"])
    if action in ("complete", "fail"):
        return _authenticated(store, session, succeeded=action == "complete")
    # A number that was typed comes after the chosen radio button, and counts.
    typed = ["".join(value.split()) for value in form.get("card", [])]
    number = next((value for value in reversed(typed) if value), None)
    if number is None:
        return pages.form(400, _offer(store, session), "Choose a card first.")
    card = cards.CARDS.get(number)
    if card is None:  # never kept: it may be somebody's real card
        return pages.form(402, _offer(store, session), cards.MESSAGES["test_mode_live_card"])
    details = session["customer_details"] or {}
    made = cards.make(store, card, details.get("email"), details.get("name"))
    return _try(store, session, made, authenticated=False)


def _authenticated(store: Store, session: Obj, *, succeeded: bool) -> Answer:
    private = store.private[session["id"]]
    waiting, private["pending_method"] = private["pending_method"], None
    if waiting is None:
        return pages.form(400, _offer(store, session), "Choose a card first.")
    method = store.get("payment_method", waiting)
    if succeeded:
        return _try(store, session, method, authenticated=True)
    if private["intent"] is not None:
        intent = store.get("payment_intent", private["intent"])
        error = intents.fail_authentication(store, intent, method)
    elif session["setup_intent"] is not None:
        setup = store.get("setup_intent", session["setup_intent"])
        error = setups.fail_authentication(store, setup, method)
    else:
        error = {"message": intents.AUTHENTICATION_FAILED}
    return pages.form(402, _offer(store, session), error["message"])


def _try(store: Store, session: Obj, method: Obj, *, authenticated: bool) -> Answer:
    private = store.private[session["id"]]
    at = now()
    if session["mode"] == "setup":
        setup = store.get("setup_intent", session["setup_intent"])
        error = setups.attempt(store, setup, method, authenticated=authenticated)
        waits = setup["status"] == "requires_action"
        intent = None
    else:
        amount = checkout.amount_now(store, private, at)
        if amount == 0:
            error, waits, intent = *_check(store, method, authenticated), None
        else:
            intent = _intent(store, session, amount)
            error = intents.attempt(
                store, intent, method, place="page", authenticated=authenticated
            )
            waits = intent["status"] == "requires_action"
    if error is not None:
        return pages.form(402, _offer(store, session), error["message"])
    if waits:
        private["pending_method"] = method["id"]
        return pages.authentication(_offer(store, session))
    _complete(store, session, method, intent, at)
    return pages.redirect(_success_url(session))


def _intent(store: Store, session: Obj, amount: int) -> Obj:
    """The session's payment intent, made when somebody first tries to pay."""
    private = store.private[session["id"]]
    keeps = session["mode"] == "subscription" or private["setup_future_usage"] is not None
    if session["customer"] is None and (keeps or private["customer_creation"] == "always"):
        email = session["customer_email"]
        made = customers.create(store, {"email": email} if email else {})
        session["customer"] = made["id"]
    if private["intent"] is None:
        payment = session["mode"] == "payment"
        intent = intents.new(
            store,
            amount,
            customer=session["customer"],
            description=private["description"] if payment else "Subscription creation",
            metadata=private["intent_metadata"] if payment else {},
            setup_future_usage=private["setup_future_usage"] if payment else "off_session",
            private={"session": session["id"]},
        )
        private["intent"] = intent["id"]
        if payment:
            session["payment_intent"] = intent["id"]
    intent = store.get("payment_intent", private["intent"])
    # A prorated first period is a little cheaper each second.
    intent["amount"] = amount
    return intent


def _check(store: Store, method: Obj, authenticated: bool) -> tuple[Obj | None, bool]:
    """Try a card that nothing is taken from yet: its error, and whether it waits."""
    card = cards.of(store, method)
    if card.on_page == "declined":
        return cards.decline("card_declined", card.decline_code, method), False
    return None, card.on_page == "authenticate" and not authenticated


def _complete(store: Store, session: Obj, method: Obj, intent: Obj | None, at: int) -> None:
    private = store.private[session["id"]]
    if session["mode"] == "subscription":
        _subscribe(store, session, method, intent, at)
    session |= {"status": "complete", "url": None}
    if session["mode"] != "setup":
        session["payment_status"] = "no_payment_required" if intent is None else "paid"
    if session["customer_details"] is None:
        session["customer_details"] = {"email": session["customer_email"], "tax_exempt": "none"}
    private["pending_method"] = None
    store.emit("checkout.session.completed", session)
    if intent is not None:
        disputes.of_card(store, intent)


def _subscribe(store: Store, session: Obj, method: Obj, intent: Obj | None, at: int) -> None:
    private = store.private[session["id"]]
    if session["customer"] is None:
        session["customer"] = customers.create(store, {})["id"]
    customers.attach(store, method, session["customer"])
    data = private["subscription"]
    # At the second of the payment, so that the invoice is over what was taken.
    start = subscriptions.beginning(store, private["lines"], data, at)
    subscription, invoice = subscriptions.begin(
        store, start, private["lines"], session["customer"], method, data["metadata"]
    )
    subscription["description"] = data["description"]
    collecting.settle(store, invoice, intent)
    session |= {
        "amount_subtotal": start.total,
        "amount_total": start.total,
        "invoice": invoice["id"],
        "subscription": subscription["id"],
    }


def _success_url(session: Obj) -> str:
    url: str = session["success_url"]
    return url.replace("{CHECKOUT_SESSION_ID}", session["id"])


def _offer(store: Store, session: Obj) -> pages.Offer:
    private = store.private[session["id"]]
    lines = [
        pages.OfferLine(
            store.get("product", line["product"])["name"],
            line["quantity"],
            line["amount"],
            (store.get("price", line["price"])["recurring"] or {}).get("interval"),
        )
        for line in private["lines"]
    ]
    amount = None if session["mode"] == "setup" else checkout.amount_now(store, private, now())
    return pages.Offer(session["mode"], amount, private["description"], lines)


def _authenticate_page(
    store: Store, intent: Obj, method: str, form: dict[str, list[str]]
) -> Answer:
    """The step that an on-session payment by the API sends the card's owner to."""
    private = store.private[intent["id"]]
    if intent["status"] != "requires_action" or private.get("session") is not None:
        return pages.notice(
            409 if method == "POST" else 200,
            "Nothing to authenticate",
            "This payment does not wait for authentication.",
        )
    offer = pages.Offer("payment", intent["amount"], intent["description"], [])
    if method != "POST":
        return pages.authentication(offer)
    card = store.get("payment_method", intent["payment_method"])
    if form.get("action", ["complete"])[-1] == "fail":
        intents.fail_authentication(store, intent, card)
    else:
        intents.succeed(store, intent, card)
        disputes.of_card(store, intent)
    back = private.get("return_url")
    if back is None:
        return pages.notice(200, "Done", f"The payment's status is {intent['status']}.")
    joint = "&" if "?" in back else "?"
    return pages.redirect(f"{back}{joint}payment_intent={intent['id']}")
