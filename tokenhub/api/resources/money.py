"""``/balance/``, ``/transactions/``, ``/top-ups/``: money in, money out, what is there."""

from django.conf import settings
from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.request import Request

from accounts.roles import Permission
from billing.errors import PaymentsAway
from billing.models import TopUp as Payment
from billing.models import Transfer
from billing.payments import topups
from billing.selectors import balance_of
from tokenhub.api.fields import Answer, Body, Usd, UsdCents, address
from tokenhub.api.pages import PageQuery, page, paged
from tokenhub.api.resources.requests import Since, between
from tokenhub.api.view import BILLING, READ_OR_BILLING, ApiView, operation


class BalanceSerializer(Answer):
    """The balance."""

    example = {"currency": "USD", "balance": "42.50", "on_hold": "1.25", "available": "41.25"}

    currency = serializers.CharField(default="USD")
    balance = Usd(source="balance_nano")
    on_hold = Usd(source="on_hold_nano", help_text="Set aside for requests under way, or disputed.")
    available = Usd(source="available_nano")


class Balance(ApiView):
    """The balance."""

    @operation(
        "get_balance", "The balance", scopes=READ_OR_BILLING, permission=Permission.VIEW_BILLING,
        answer=BalanceSerializer,
    )  # fmt: skip
    def get(self, request: Request) -> HttpResponse:
        """What there is, what is set aside, and what a new request can use."""
        return self.answer(BalanceSerializer, balance_of(self.caller.organization))


class TransactionSerializer(Answer):
    """One movement of the balance."""

    example = {
        "id": "txn_1042", "created_at": "2026-11-02T09:30:00.120000Z", "kind": "usage", "amount": "-0.00050985",
        "balance_after": "42.49949015", "reference": "req_0199f0c2b7d47c0e8a52c1d0f3b6a9e4", "description": "",
    }  # fmt: skip

    id = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    kind = serializers.ChoiceField(choices=Transfer.Kind.choices)
    amount = Usd(source="signed_nano", help_text="Negative for what left the balance.")
    balance_after = Usd(source="balance_after_nano")
    reference = serializers.CharField(help_text="What caused it, such as a request's id.")
    description = serializers.CharField()

    def get_id(self, transfer: Transfer) -> str:
        return f"txn_{transfer.sequence}"


class TransactionQuery(Since):
    """Which movements."""

    kind = serializers.ChoiceField(choices=Transfer.Kind.choices, required=False)


class Transactions(ApiView):
    """The ledger."""

    @operation(
        "list_transactions", "List transactions", scopes=READ_OR_BILLING,
        permission=Permission.VIEW_BILLING, query=TransactionQuery, answer=paged(TransactionSerializer),
    )  # fmt: skip
    def get(self, request: Request) -> HttpResponse:
        """Every movement of the balance, the newest first. The ids count from 1 without a gap."""
        query = self.asked(TransactionQuery)
        rows = between(Transfer.objects.for_organization(self.caller.organization), query)
        if "kind" in query:
            rows = rows.filter(kind=query["kind"])
        return page(request, query, rows, TransactionSerializer, by="-sequence")


class TopUpSerializer(Answer):
    """A payment into the balance."""

    example = {
        "id": "top_0199f0c2b7d47c0e8a52c1d0f3b6a9e4", "status": "pending", "source": "checkout",
        "amount": "25.00", "fee": "0.00", "refunded": "0.00", "failure": "",
        "created_at": "2026-11-02T09:30:00Z", "settled_at": None,
        "checkout_url": "https://checkout.stripe.com/c/pay/cs_…",
    }  # fmt: skip

    id = serializers.CharField()
    status = serializers.ChoiceField(choices=Payment.Status.choices)
    source = serializers.ChoiceField(  # type: ignore[assignment]  # DRF keeps fields apart
        choices=Payment.Source.choices
    )
    amount = Usd(source="amount_nano")
    fee = Usd(source="fee_nano", help_text="Paid on top of the amount.")
    refunded = Usd(source="refunded_nano")
    failure = serializers.CharField(help_text="Why it failed, if it did.")
    created_at = serializers.DateTimeField()
    settled_at = serializers.DateTimeField(allow_null=True)
    checkout_url = serializers.SerializerMethodField(help_text="Where to pay, while it is pending.")

    def get_checkout_url(self, top_up: Payment) -> str | None:
        return (top_up.checkout_url or None) if top_up.status == Payment.Status.PENDING else None


class NewTopUpSerializer(Body):
    """A payment to be made."""

    example = {"amount": "25.00"}

    amount = UsdCents(
        help_text="In whole cents, between"
        f" {settings.TOP_UP_MIN_USD:,} and {settings.TOP_UP_MAX_USD:,} USD."
    )
    save_card = serializers.BooleanField(
        required=False, default=False, help_text="Keep the card for automatic top-ups."
    )


class TopUps(ApiView):
    """The payments."""

    @operation(
        "list_top_ups", "List top-ups", scopes=READ_OR_BILLING, permission=Permission.VIEW_BILLING,
        query=PageQuery, answer=paged(TopUpSerializer),
    )  # fmt: skip
    def get(self, request: Request) -> HttpResponse:
        """Payments into the balance, the newest first."""
        rows = Payment.objects.for_organization(self.caller.organization)
        return page(request, self.asked(PageQuery), rows, TopUpSerializer)

    @operation(
        "create_top_up", "Top up", scopes=BILLING, permission=Permission.MANAGE_BILLING,
        body=NewTopUpSerializer, answer=TopUpSerializer, status=201,
    )  # fmt: skip
    def post(self, request: Request) -> HttpResponse:
        """Answers the address of a page to pay on; nothing is charged before somebody pays there. Send an
        `Idempotency-Key`, so that a retry is not a second payment.
        """
        wanted, caller = self.sent(NewTopUpSerializer), self.caller
        slug = caller.organization.slug
        made = topups.start_top_up(
            caller.organization,
            wanted["amount"],
            user=caller.person,
            actor=caller.actor,
            save_card=wanted["save_card"],
            return_url=address("billing", slug) + "top-up/{top_up}/",
            cancel_url=address("top_up", slug),
        )
        return self.answer(TopUpSerializer, made, 201)


class TopUp(ApiView):
    """One payment."""

    @operation(
        "get_top_up", "One top-up", scopes=READ_OR_BILLING, permission=Permission.VIEW_BILLING,
        answer=TopUpSerializer,
    )  # fmt: skip
    def get(self, request: Request, top_up_id: str) -> HttpResponse:
        """How it stands. While it is pending, the payment service is asked."""
        rows = Payment.objects.select_related("organization")
        top_up: Payment = self.one(rows, top_up_id, "top-up")
        if top_up.status == Payment.Status.PENDING:
            try:
                top_up = topups.sync(top_up)
            except (PaymentsAway, topups.UnexpectedPayment):
                # It is not lost: what is known is shown, and it is asked again.
                top_up.refresh_from_db()
        return self.answer(TopUpSerializer, top_up)
