"""The forms of a key: a new one, a change, a new secret; and how the list is searched."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.utils import timezone

from keys.budgets import Budget
from keys.limits import Changes
from keys.models import ApiKey

Choices = Sequence[tuple[str, str]]
LIFETIMES = [
    ("", "No expiry"),
    ("1", "1 day"),
    ("7", "7 days"),
    ("30", "30 days"),
    ("90", "90 days"),
    ("365", "1 year"),
]
KEEP = "keep"
GRACES = [
    ("0", "None: refused at once"),
    ("1", "1 hour"),
    ("24", "1 day"),
    ("168", "7 days"),
    ("720", "30 days"),
]
NANO_PER_USD = 10**9


class KeyForm(forms.Form):
    """What a key is for and how far it reaches. Nothing chosen sets no limit."""

    name = forms.CharField(
        max_length=80, help_text="What will use it, for example “production backend”."
    )
    kind = forms.ChoiceField(
        choices=[
            ("inference", "Inference: calls models"),
            ("management", "Management: automates this console"),
        ],
        initial="inference",
    )
    scopes = forms.MultipleChoiceField(
        required=False,
        choices=ApiKey.Scope.choices,
        widget=forms.CheckboxSelectMultiple,
        label="Scopes of a management key",
        help_text="Nothing chosen is read and write. An inference key needs none.",
    )
    lifetime = forms.ChoiceField(choices=LIFETIMES, required=False, label="Expires after")
    rpm = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=1_000_000,
        label="Requests per minute",
        help_text="Empty: only the plan's limit.",
    )
    budget = forms.DecimalField(
        required=False,
        min_value=Decimal("0.000000001"),
        max_value=Decimal(1_000_000_000),
        max_digits=19,
        decimal_places=9,
        label="Budget (USD)",
        help_text="Calls that it does not cover are refused. Empty: no budget.",
        widget=forms.NumberInput(attrs={"step": "any", "inputmode": "decimal"}),
    )
    budget_period = forms.ChoiceField(
        choices=[("day", "A day"), ("week", "A week"), ("month", "A month"), ("total", "In total")],
        initial="month",
        required=False,
        label="Budget for",
        help_text="Begins anew at midnight UTC; weeks on Monday.",
    )
    allowed_regions = forms.MultipleChoiceField(required=False, widget=forms.CheckboxSelectMultiple)
    allowed_providers = forms.MultipleChoiceField(
        required=False, widget=forms.CheckboxSelectMultiple
    )
    allowed_models = forms.MultipleChoiceField(required=False, widget=forms.CheckboxSelectMultiple)
    ip_allowlist = forms.CharField(
        required=False,
        label="Network addresses",
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Addresses or networks such as 203.0.113.0/24, one per line. Empty: any.",
    )

    def __init__(
        self,
        data: Any = None,
        *,
        models: Choices,
        providers: Choices,
        regions: Choices,
        key: ApiKey | None = None,
    ) -> None:
        super().__init__(data, initial=None if key is None else _initial(key))
        if key is not None:
            del self.fields["kind"]
            if key.kind != ApiKey.Kind.MANAGEMENT:
                del self.fields["scopes"]
            lifetime = self.fields["lifetime"]
            assert isinstance(lifetime, forms.ChoiceField)
            until = (
                "no expiry" if key.expires_at is None else f"{key.expires_at:%d %b %Y %H:%M} UTC"
            )
            lifetime.choices = [(KEEP, f"Leave it: {until}"), *LIFETIMES]
        for name, choices in (
            ("allowed_models", models),
            ("allowed_providers", providers),
            ("allowed_regions", regions),
        ):
            field = self.fields[name]
            assert isinstance(field, forms.MultipleChoiceField)
            # What a key has stays on offer, even where the catalogue has it no more.
            kept = [] if key is None else getattr(key, name)
            known = {slug for slug, _ in choices}
            field.choices = [*choices, *((slug, slug) for slug in kept if slug not in known)]

    def limits(self) -> Changes:
        """What is asked for, as ``keys.services`` takes it."""
        given = self.cleaned_data
        amount = given["budget"]
        changes: Changes = {
            "name": given["name"],
            "rpm": given["rpm"],
            "budget": None
            if amount is None
            else Budget(int(amount * NANO_PER_USD), given["budget_period"] or "month"),
            "allowed_regions": given["allowed_regions"],
            "allowed_providers": given["allowed_providers"],
            "allowed_models": given["allowed_models"],
            "ip_allowlist": given["ip_allowlist"].split(),
        }
        if (days := given["lifetime"]) != KEEP:
            changes["expires_at"] = timezone.now() + timedelta(days=int(days)) if days else None
        if given.get("scopes"):
            changes["scopes"] = given["scopes"]
        return changes


def _initial(key: ApiKey) -> dict[str, Any]:
    return {
        "name": key.name,
        "scopes": key.scopes,
        "lifetime": KEEP,
        "rpm": key.rpm,
        "budget": None if key.budget_nano is None else Decimal(key.budget_nano) / NANO_PER_USD,
        "budget_period": key.budget_period or "month",
        "allowed_regions": key.allowed_regions,
        "allowed_providers": key.allowed_providers,
        "allowed_models": key.allowed_models,
        "ip_allowlist": "\n".join(key.ip_allowlist),
    }


class RotateForm(forms.Form):
    """How long the old secret is still accepted."""

    grace = forms.ChoiceField(
        choices=GRACES,
        initial="24",
        label="The old secret works for",
        help_text="Long enough to change every program that has it.",
    )

    def period(self) -> timedelta:
        """The grace period."""
        return timedelta(hours=int(self.cleaned_data["grace"]))


class FindForm(forms.Form):
    """How the list of keys is searched and sorted; everything is in the URL."""

    q = forms.CharField(required=False, max_length=80, label="Name or last four characters")
    status = forms.ChoiceField(
        required=False,
        choices=[("", "Any"), ("active", "Active"), ("expired", "Expired"), ("revoked", "Revoked")],
    )
    kind = forms.ChoiceField(required=False, choices=[("", "Any"), *ApiKey.Kind.choices])
    sort = forms.ChoiceField(
        required=False,
        label="Sort by",
        choices=[
            ("", "Newest"), ("spend", "Spend, 30 days"), ("used", "Last used"), ("expires", "Expiry"), ("name", "Name"),
        ],
    )  # fmt: skip
