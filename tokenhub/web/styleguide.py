"""The design system as a page of its own, in development: every token and every component, as they are."""

from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from tokenhub.web.charts import stacked
from tokenhub.web.console.samples import Sample
from tokenhub.web.console.waterfall import bars

COLOURS = {
    "Surfaces": ("bg", "surface", "sunken", "border", "control"),
    "Ink": ("ink", "muted", "accent", "on-accent", "accent-soft"),
    "States": ("ok", "ok-soft", "warn", "warn-soft", "bad", "bad-soft"),
    "Series": tuple(f"s{number}" for number in range(7)),
}
ATTEMPTS: list[dict[str, Any]] = [
    {"provider": "first", "region": "eu", "outcome": "timeout", "status": None, "latency_ms": 900},
    {
        "provider": "second",
        "region": "us",
        "outcome": "succeeded",
        "status": 200,
        "latency_ms": 450,
    },
]
SAMPLES = [
    Sample("shell", "Shell", "curl https://tokenhub.example/v1/models"),
    Sample("py", "Python", 'print("Hello")'),
]


class Everything(forms.Form):
    """A field of every kind."""

    text = forms.CharField(label="Text", help_text="What it is for, in one line.")
    wrong = forms.IntegerField(label="Number", initial="many")
    choice = forms.ChoiceField(label="Choice", choices=[("a", "First"), ("b", "Second")])
    several = forms.MultipleChoiceField(
        label="Several", choices=[("a", "First"), ("b", "Second"), ("c", "Third")],
        widget=forms.CheckboxSelectMultiple, required=False,
    )  # fmt: skip


def styleguide(request: HttpRequest) -> HttpResponse:
    """There is none where ``DEBUG`` is off."""
    if not settings.DEBUG:
        raise Http404("No such page.")
    series = {"deepseek-v3.2": [3, 5, 4, 6, 8], "glm-5": [1, 2, 2, 1, 3], "Other": [1, 0, 1, 1, 0]}
    form = Everything({"text": "As written", "wrong": "many", "choice": "b", "several": ["a"]})
    form.is_valid()
    context = {
        "colours": COLOURS,
        "form": form,
        "bars": bars(ATTEMPTS),
        "chart": stacked(["Mon", "Tue", "Wed", "Thu", "Fri"], series),
        "samples": SAMPLES,
        "amounts": [1_234_500_000_000, 13_926, -2_884, 0],
        "moment": timezone.now() - timedelta(minutes=12),
    }
    return render(request, "web/styleguide.html", context)
