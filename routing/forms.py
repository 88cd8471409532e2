"""The form of an organization's boundaries; its choices are the catalogue's."""

from typing import Any

from django import forms

from routing.listing import listing
from routing.models import Certification, DataPolicy, Preferences


class PreferencesForm(forms.Form):
    """Nothing chosen sets no limit; what is chosen is a hard boundary."""

    allowed_regions = forms.MultipleChoiceField(
        required=False, widget=forms.CheckboxSelectMultiple, label="Allowed regions"
    )
    allowed_providers = forms.MultipleChoiceField(
        required=False, widget=forms.CheckboxSelectMultiple, label="Allowed providers"
    )
    denied_providers = forms.MultipleChoiceField(
        required=False, widget=forms.CheckboxSelectMultiple, label="Denied providers"
    )
    allowed_models = forms.MultipleChoiceField(
        required=False, widget=forms.CheckboxSelectMultiple, label="Allowed models"
    )
    denied_models = forms.MultipleChoiceField(
        required=False, widget=forms.CheckboxSelectMultiple, label="Denied models"
    )
    require = forms.MultipleChoiceField(
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label="Required of every provider",
        choices=[*DataPolicy.choices, *Certification.choices],
    )
    strategy = forms.ChoiceField(
        choices=Preferences.Strategy.choices,
        initial=Preferences.Strategy.BALANCED,
        label="Order among what is left",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        listed = listing()
        regions, providers, models = (
            list(names.items()) for names in (listed.regions, listed.providers, listed.models)
        )
        for name, choices in (
            ("allowed_regions", regions),
            ("allowed_providers", providers),
            ("denied_providers", providers),
            ("allowed_models", models),
            ("denied_models", models),
        ):
            field = self.fields[name]
            assert isinstance(field, forms.MultipleChoiceField)
            field.choices = choices
