"""Plans side by side, and what a month of calls would cost."""

from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from billing.models import PlanVersion
from billing.money import service_fee_nano
from billing.plans import current_versions
from routing.listing import listing
from routing.models import Model
from routing.pricing import fee_lines
from routing.types import Catalogue, Offering


class Calculation(forms.Form):
    """A month of calls of one kind, as it stands in the URL."""

    model = forms.ChoiceField(label="Model")
    input = forms.IntegerField(
        min_value=0, max_value=2_000_000, initial=1_500, label="Prompt tokens a call"
    )
    output = forms.IntegerField(
        min_value=0, max_value=1_000_000, initial=400, label="Answer tokens a call"
    )
    calls = forms.IntegerField(
        min_value=1, max_value=1_000_000_000, initial=100_000, label="Calls a month"
    )

    def __init__(self, data: Any, choices: list[tuple[str, str]]) -> None:
        super().__init__(data, initial={"model": choices[0][0] if choices else ""})
        field = self.fields["model"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the calls would cost at one place; nano-USD. ``plans`` has, for each plan, fee and sum."""

    offering: Offering
    model_fee_nano: int
    plans: list[tuple[PlanVersion, int, int]]


def pricing(request: HttpRequest) -> HttpResponse:
    """Plans, and a calculator whose question is its address."""
    listed, versions = listing(), current_versions()
    catalogue = listed.catalogue
    asked = any(name in request.GET for name in Calculation.base_fields)
    form = Calculation(request.GET if asked else None, _choices(catalogue))
    given = form.cleaned_data if form.is_bound and form.is_valid() else None
    if not form.is_bound:
        given = {
            name: form.get_initial_for_field(field, name) for name, field in form.fields.items()
        }
    context = {
        "versions": versions,
        "providers": listed.providers,
        "regions": listed.regions,
        "form": form,
        "given": given,
        "estimates": _estimates(catalogue, versions, given) if given else [],
    }
    htmx: Any = request.htmx  # type: ignore[attr-defined]
    template = "web/pricing.html#estimate" if htmx else "web/pricing.html"
    return render(request, template, context)


def _choices(catalogue: Catalogue) -> list[tuple[str, str]]:
    return sorted(
        (
            (info.slug, info.name)
            for info in catalogue.models.values()
            if info.modality == Model.Modality.TEXT and catalogue.by_model.get(info.slug)
        ),
        key=lambda choice: choice[1].lower(),
    )


def _estimates(
    catalogue: Catalogue, versions: list[PlanVersion], given: dict[str, Any]
) -> list[Estimate]:
    """Each place, the cheapest first: what is charged for one call, times the calls."""
    units = {"input": given["input"], "output": given["output"]}
    found = []
    for offering in catalogue.by_model.get(given["model"], ()):
        if offering.price is None:
            continue
        one = fee_lines(offering.price, units)[1]
        fee = one * given["calls"]
        plans = []
        for version in versions:
            service = service_fee_nano(one, version.fee_bps) * given["calls"]
            plans.append((version, service, fee + service))
        found.append(Estimate(offering, fee, plans))
    return sorted(found, key=lambda estimate: estimate.model_fee_nano)
