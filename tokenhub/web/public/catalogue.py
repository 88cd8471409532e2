"""Models and providers as anybody may compare them: facets, prices, what they cost with the service fee."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from billing.money import service_fee_nano
from routing.listing import Listing, listing
from routing.models import Certification, DataPolicy, Model, Price, Provider
from routing.types import Catalogue, Offering
from tokenhub.web.pricelist import EXAMPLE_FEE_BPS, price_lists, prices_of
from tokenhub.web.status import answered, standings
from tokenhub.web.words import CAPABILITIES

MOST_COMPARED = 4
NANO_PER_USD = 1_000_000_000


class Facets(forms.Form):
    """What a catalogue is narrowed by, as it stands in the URL."""

    q = forms.CharField(required=False, max_length=80, label="Search")
    modality = forms.ChoiceField(required=False, choices=[("", "Any"), *Model.Modality.choices])
    provider = forms.ChoiceField(required=False)
    region = forms.ChoiceField(required=False)
    policy = forms.ChoiceField(
        required=False, label="Data policy",
        choices=[("", "Any"), *DataPolicy.choices, *Certification.choices],
    )  # fmt: skip
    capability = forms.ChoiceField(required=False)
    context = forms.IntegerField(
        required=False, min_value=0, max_value=10_000_000, label="Context of at least (tokens)"
    )
    ceiling = forms.DecimalField(
        required=False,
        min_value=Decimal(0),
        max_value=Decimal(10_000),
        label="Input at most (USD / 1M)",
    )

    def __init__(self, data: Any, listed: Listing) -> None:
        super().__init__(data)
        offerings = listed.catalogue.offerings
        self._choose("provider", {o.provider for o in offerings}, listed.providers)
        self._choose("region", {o.region for o in offerings}, listed.regions)
        self._choose("capability", {c for o in offerings for c in o.capabilities}, CAPABILITIES)

    def _choose(self, name: str, values: Iterable[str], names: Mapping[str, str]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        named = sorted((names.get(value, value), value) for value in values)
        field.choices = [("", "Any"), *((value, name) for name, value in named)]

    def admit(self, offering: Offering, name: str) -> bool:
        """Whether an offering of a model named so is left; what is not valid narrows nothing."""
        given = self.cleaned_data
        wanted = (given.get("q") or "").strip().lower()
        ceiling = given.get("ceiling")
        return (
            (not wanted or wanted in name.lower() or wanted in offering.model.lower())
            and given.get("modality") in ("", None, offering.modality)
            and given.get("provider") in ("", None, offering.provider)
            and given.get("region") in ("", None, offering.region)
            and (not given.get("policy") or given["policy"] in offering.policies)
            and (not given.get("capability") or given["capability"] in offering.capabilities)
            and (not given.get("context") or (offering.context_length or 0) >= given["context"])
            and (ceiling is None or _input_nano(offering) <= ceiling * NANO_PER_USD)
        )


def models(request: HttpRequest) -> HttpResponse:
    """Every model with every place it is offered and what it costs there, as far as the facets leave it."""
    listed = listing()
    catalogue = listed.catalogue
    form = Facets(request.GET, listed)
    form.is_valid()
    left = Catalogue(
        offerings=tuple(
            offering
            for offering in catalogue.offerings
            if form.admit(offering, catalogue.models[offering.model].name)
        ),
        models=catalogue.models,
        plan_models=catalogue.plan_models,
        next_change_s=catalogue.next_change_s,
    )
    context = {
        "form": form,
        "lists": list(price_lists(left)),
        "regions": listed.regions,
        "model_names": listed.models,
        "plan_models": catalogue.plan_models,
        "narrowed": any(request.GET.get(name) for name in form.fields),
        "shown": len({offering.model for offering in left.offerings}),
    }
    return render(request, "web/models.html", context)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model is offered, what it costs there, and with the service fee."""

    offering: Offering
    amounts: list[tuple[str, int, int]]
    """(unit, nano-USD, nano-USD with the usual service fee)"""


def model(request: HttpRequest, slug: str) -> HttpResponse:
    """One model: who runs it where, at what price, how that changed, and how to call it."""
    listed = listing()
    catalogue = listed.catalogue
    info = catalogue.models.get(slug)
    if info is None or info.status == Model.Status.RETIRED:
        raise Http404("No such model.")
    offerings = _by_price(catalogue.by_model.get(slug, ()))
    stand = standings(slug, offerings)
    pins = {offering.provider: listed.providers[offering.provider] for offering in offerings}
    context = {
        "model": info,
        "pins": sorted(pins.items(), key=lambda pin: pin[1].lower()),
        "providers": listed.providers,
        "regions": listed.regions,
        "answered": answered(stand.values()),
        "description": listed.descriptions[slug],
        "places": [(_place(offering), stand[offering.id]) for offering in offerings],
        "plan_names": [
            name for name, entry in catalogue.plan_models.items() if slug in entry.models
        ],
        "history": _history(slug),
        "fee_bps": EXAMPLE_FEE_BPS,
    }
    return render(request, "web/model.html", context)


def compare(request: HttpRequest) -> HttpResponse:
    """Up to four models side by side."""
    listed = listing()
    catalogue = listed.catalogue
    wanted = list(dict.fromkeys(request.GET.getlist("m")))[:MOST_COMPARED]
    columns = [
        (info, [_place(offering) for offering in _by_price(catalogue.by_model.get(slug, ()))])
        for slug in wanted
        if (info := catalogue.models.get(slug)) is not None
    ]
    context = {
        "columns": columns,
        "choices": sorted(
            (info.slug, info.name)
            for info in catalogue.models.values()
            if catalogue.by_model.get(info.slug)
        ),
        "providers": listed.providers,
        "regions": listed.regions,
        "wanted": wanted,
        "slots": range(MOST_COMPARED),
    }
    return render(request, "web/compare.html", context)


def providers(request: HttpRequest) -> HttpResponse:
    """Who runs models for us, where, and what is known of how they treat data."""
    listed = listing()
    catalogue = listed.catalogue
    rows = []
    for found in Provider.objects.filter(enabled=True):
        offered = [offering for offering in catalogue.offerings if offering.provider == found.slug]
        rows.append(
            {
                "provider": found,
                "regions": sorted({listed.regions[offering.region] for offering in offered}),
                "models": len({offering.model for offering in offered}),
                "certifications": _certifications(found),
            }
        )
    return render(request, "web/providers.html", {"rows": rows})


def provider(request: HttpRequest, slug: str) -> HttpResponse:
    """One provider: its data policy, and its models by region."""
    found = Provider.objects.filter(enabled=True, slug=slug).first()
    if found is None:
        raise Http404("No such provider.")
    listed = listing()
    catalogue = listed.catalogue
    offered = [offering for offering in catalogue.offerings if offering.provider == slug]
    context = {
        "regions": listed.regions,
        "provider": found,
        "certifications": _certifications(found),
        "places": [
            (_place(offering), catalogue.models[offering.model])
            for offering in sorted(offered, key=lambda o: (o.model, o.region))
        ],
    }
    return render(request, "web/provider.html", context)


def _place(offering: Offering) -> Place:
    return Place(
        offering,
        [
            (unit, amount, amount + service_fee_nano(amount, EXAMPLE_FEE_BPS))
            for unit, amount in prices_of(offering).items()
        ],
    )


def _by_price(offerings: Iterable[Offering]) -> list[Offering]:
    return sorted(offerings, key=lambda o: (_input_nano(o), o.provider, o.region))


def _input_nano(offering: Offering) -> int:
    """The first tier's price of input; of what has none, that of its first unit."""
    amounts = prices_of(offering)
    return amounts.get("input", min(amounts.values(), default=0))


def _history(slug: str) -> list[Price]:
    found = (
        Price.objects.filter(offering__model__slug=slug)
        .select_related("offering__endpoint__provider")
        .prefetch_related("components")
        .order_by("-effective_from")
    )
    return list(found[:20])


def _certifications(found: Provider) -> list[str]:
    return [str(Certification(name).label) for name in found.certifications]
