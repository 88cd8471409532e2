"""The form of an endpoint."""

from typing import Any

from django import forms

from accounts.webhooks.events import KINDS
from accounts.webhooks.models import Endpoint


class EndpointForm(forms.Form):
    """Where, what about, and what for. The address is checked by the service."""

    url = forms.CharField(
        max_length=500, label="URL",
        widget=forms.URLInput(attrs={"placeholder": "https://example.com/hooks/tokenhub", "autocomplete": "off"}),
        help_text="It gets a signed POST for each event and answers 2xx within ten seconds.",
    )  # fmt: skip
    description = forms.CharField(max_length=120, required=False)
    events = forms.MultipleChoiceField(
        required=False,
        widget=forms.CheckboxSelectMultiple,
        choices=[(kind, kind) for kind in KINDS],
        help_text="Nothing chosen: every event, those to come too.",
    )


class EndpointChangeForm(EndpointForm):
    """The same, and whether it is on."""

    enabled = forms.BooleanField(required=False, label="On", help_text="Off: nothing is sent.")

    def __init__(self, data: Any, *, endpoint: Endpoint) -> None:
        super().__init__(
            data,
            initial={
                "url": endpoint.url,
                "description": endpoint.description,
                "events": endpoint.events,
                "enabled": endpoint.enabled,
            },
        )
