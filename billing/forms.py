"""Forms about money. Amounts are typed in USD and cleaned to integer nano-USD."""

from decimal import Decimal
from typing import Any

from django import forms

from billing.models import BillingProfile, PaymentMethod
from billing.money import nano_from_usd, usd_from_nano

MAX_USD = Decimal(1_000_000)


class UsdField(forms.DecimalField):
    """An amount in USD with at most two decimals, as nano-USD."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("min_value", Decimal("0.01"))
        super().__init__(max_value=MAX_USD, decimal_places=2, max_digits=12, **options)

    def clean(self, value: Any) -> int | None:
        amount = super().clean(value)
        return None if amount is None else nano_from_usd(amount)

    def prepare_value(self, value: Any) -> Any:
        return usd_from_nano(value) if isinstance(value, int) else value

    def widget_attrs(self, widget: forms.Widget) -> dict[str, Any]:
        return {**super().widget_attrs(widget), "inputmode": "decimal", "step": "0.01"}


class TopUpForm(forms.Form):
    """How much, and whether the card is kept."""

    amount = UsdField(label="Amount in USD", initial=50_000_000_000)
    save_card = forms.BooleanField(
        required=False,
        label="Save the card for automatic top-ups",
        help_text="Stripe keeps it; we see its brand and last four digits.",
    )


class RefundForm(forms.Form):
    """How much of a payment goes back, and why."""

    amount = UsdField(label="Amount in USD")
    reason = forms.CharField(max_length=200, label="Reason")


class AutomaticTopUpForm(forms.Form):
    """When and how the balance refills itself."""

    enabled = forms.BooleanField(required=False, label="Top up automatically")
    threshold = UsdField(label="When the balance falls below (USD)", initial=10_000_000_000)
    amount = UsdField(label="Add (USD)", initial=50_000_000_000)
    monthly_cap = UsdField(
        label="At most in a calendar month (USD)",
        initial=500_000_000_000,
        help_text="In UTC. Beyond it nothing is charged, and you are told.",
    )
    card = forms.ChoiceField(required=False, label="Card")

    def __init__(self, data: Any, cards: list[PaymentMethod], **options: Any) -> None:
        super().__init__(data, **options)
        field = self.fields["card"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(str(card.pk), str(card)) for card in cards] or [("", "No card is saved")]


class ProfileForm(forms.ModelForm):  # type: ignore[type-arg]
    """Who the invoices are made out to."""

    class Meta:
        model = BillingProfile
        fields = [
            "legal_name", "line1", "line2", "postal_code", "city", "country", "tax_id", "po_number",
            "email",
        ]  # fmt: skip
        labels = {"email": "Invoices by email to"}


class BudgetForm(forms.Form):
    """When to be told; an empty field is never."""

    low_balance = UsdField(
        required=False,
        label="Tell me when the balance is below (USD)",
        help_text="Once after each time money came in. Empty: never.",
    )
    monthly = UsdField(
        required=False,
        label="Budget for a calendar month (USD)",
        help_text="You are told at 50, 80 and 100 %. Calls go on. Empty: none.",
    )
    monthly_is_hard = forms.BooleanField(
        required=False,
        label="Refuse calls that this month's budget does not cover",
        help_text="Exactly, over all keys and processes. Without it calls go on, and you are only told.",
    )

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        if (
            given.get("monthly_is_hard")
            and given.get("monthly") is None
            and "monthly" not in self.errors
        ):
            self.add_error("monthly", "Say how much may be spent in a month.")
        return given
