"""The routing explorer: a dry run of the decision, with its whole question in the URL."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django_htmx.middleware import HtmxDetails

from accounts.access import OrganizationRequest, organization_view
from accounts.models import Organization
from accounts.roles import Permission
from keys.models import ApiKey
from routing.errors import PlanRequired, UnknownModel
from routing.listing import listing
from routing.types import Candidate, Catalogue, Exclusion
from tokenhub.dry_run import DryRun, Wishes, dry_run
from tokenhub.web.words import UNITS

MAX_TOKENS = 100_000_000
PLACES = ("Tried first", "Then, if it fails", "Last, if both fail")
TIER_PILLS = (("Healthy", "ok"), ("Degraded", "warn"), ("Down", "bad"))


class Question(forms.Form):
    """What is asked, as it stands in the URL; the names are those of the request's ``provider`` object."""

    model = forms.CharField(
        max_length=160, widget=forms.TextInput(attrs={"list": "names", "autocomplete": "off"})
    )
    key = forms.ChoiceField(required=False, label="With the limits of key")
    sort = forms.ChoiceField(
        required=False,
        choices=[
            ("", "As the preferences say"), ("price", "Price"), ("latency", "Latency"),
            ("throughput", "Throughput"),
        ],
    )  # fmt: skip
    input_tokens = forms.IntegerField(
        required=False, min_value=0, max_value=MAX_TOKENS, label="Prompt tokens"
    )
    session = forms.CharField(
        required=False, max_length=200, label="Conversation",
        help_text="Its X-Session-Id. One conversation keeps meeting the same provider's cache.",
    )  # fmt: skip
    regions = forms.MultipleChoiceField(
        required=False, widget=forms.CheckboxSelectMultiple, label="Only these regions"
    )
    only = forms.MultipleChoiceField(
        required=False, widget=forms.CheckboxSelectMultiple, label="Only these providers"
    )
    ignore = forms.MultipleChoiceField(
        required=False, widget=forms.CheckboxSelectMultiple, label="Not these providers"
    )
    order = forms.CharField(
        required=False, max_length=400, label="In this order",
        help_text="Providers with commas between them; others come after.",
    )  # fmt: skip
    capabilities = forms.MultipleChoiceField(
        required=False, widget=forms.CheckboxSelectMultiple, label="It must be able to"
    )
    no_fallbacks = forms.BooleanField(required=False, label="Do not fail over to another provider")

    def __init__(self, data: Any, catalogue: Catalogue, keys: Iterable[ApiKey]) -> None:
        super().__init__(data)
        offerings = catalogue.offerings
        providers = sorted(catalogue.providers)
        self._choose("key", [("", "No key's"), *((key.id, _named(key)) for key in keys)])
        self._choose("regions", _same({offering.region for offering in offerings}))
        self._choose("only", _same(providers))
        self._choose("ignore", _same(providers))
        self._choose("capabilities", _same({c for o in offerings for c in o.capabilities}))

    def _choose(self, name: str, choices: list[tuple[str, str]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices

    def wishes(self) -> Wishes:
        """The question, once it is valid."""
        given = self.cleaned_data
        return Wishes(
            model=given["model"].strip(),
            only=tuple(given["only"]),
            ignore=tuple(given["ignore"]),
            order=tuple(name for part in given["order"].split(",") if (name := part.strip())),
            regions=tuple(given["regions"]),
            sort=given["sort"] or None,
            allow_fallbacks=not given["no_fallbacks"],
            capabilities=frozenset(given["capabilities"]),
            input_tokens=given["input_tokens"] or 0,
            session_id=given["session"],
        )


@dataclass(frozen=True, slots=True)
class Place:
    """A candidate in its place: what happens to it, and what it costs."""

    provider: str
    model: str
    region: str
    fate: str
    is_tried: bool
    tier: str
    pill: str
    reason: str
    price: dict[str, str]


@dataclass(frozen=True, slots=True)
class Refusal:
    """An offering that is left out, whose rule that is, and what one can do about it."""

    provider: str
    model: str
    region: str
    rule: str
    origin: str
    detail: str
    advice: str
    url: str


@organization_view(Permission.VIEW)
def routing(request: OrganizationRequest) -> HttpResponse:
    """Where a request would go now, and why nowhere else. Nothing is sent and nothing is billed."""
    catalogue = listing().catalogue
    keys = list(ApiKey.objects.for_organization(request.organization).active())
    asked = bool(request.GET.get("model"))
    form = Question(request.GET if asked else None, catalogue, keys)
    context: dict[str, Any] = {"form": form, "names": _names(catalogue), "asked": asked}
    status = 200
    if asked and form.is_valid():
        context |= _answer(request.organization, form, keys, catalogue)
    elif asked:
        status = 422
    htmx: HtmxDetails = request.htmx  # type: ignore[attr-defined]
    fragment = bool(htmx) and not htmx.history_restore_request and status == 200
    page = "console/routing.html#answer" if fragment else "console/routing.html"
    return render(request, page, context, status=status)


def _answer(
    organization: Organization, form: Question, keys: list[ApiKey], catalogue: Catalogue
) -> dict[str, Any]:
    wishes = form.wishes()
    key = next((key for key in keys if key.id == form.cleaned_data["key"]), None)
    try:
        run = dry_run(organization, wishes, key=key, catalogue=catalogue)
    except UnknownModel:
        return {"refused": f"There is no model “{wishes.model}”.", "code": "model_not_found"}
    except PlanRequired as error:
        return {
            "refused": f"“{wishes.model}” needs the {error.plan} plan.",
            "code": "plan_required",
        }
    return {
        "run": run,
        "total": len(run.decision.candidates) + len(run.decision.excluded),
        "places": _places(run),
        "refusals": [_refusal(organization, each, wishes) for each in run.decision.excluded],
        "provider_option": _provider_option(wishes),
    }


def _places(run: DryRun) -> list[Place]:
    tried = list(run.tried)
    return [_place(candidate, tried) for candidate in run.decision.candidates]


def _place(candidate: Candidate, tried: list[Candidate]) -> Place:
    offering = candidate.offering
    is_tried = candidate in tried
    tier, pill = TIER_PILLS[candidate.tier]
    return Place(
        provider=offering.provider,
        model=offering.model,
        region=offering.region,
        fate=PLACES[tried.index(candidate)] if is_tried else _why_not_tried(candidate, tried),
        is_tried=is_tried,
        tier=tier,
        pill=pill,
        reason=candidate.reason.partition(", ")[2].capitalize(),
        price=_in_order(offering.price.summary() if offering.price else {}),
    )


def _in_order(price: dict[str, str]) -> dict[str, str]:
    units = list(UNITS)
    return dict(sorted(price.items(), key=lambda part: units.index(part[0])))


def _why_not_tried(candidate: Candidate, tried: list[Candidate]) -> str:
    if any(other.offering.provider == candidate.offering.provider for other in tried):
        return "Not tried: its provider is, elsewhere"
    return "Not tried: fail-over is off" if len(tried) == 1 else "Not tried: three at most"


def _refusal(organization: Organization, exclusion: Exclusion, wishes: Wishes) -> Refusal:
    advice, page = _advice(exclusion, wishes)
    return Refusal(
        provider=exclusion.offering.provider,
        model=exclusion.offering.model,
        region=exclusion.offering.region,
        rule=exclusion.rule,
        origin=exclusion.origin,
        detail=exclusion.detail,
        advice=advice,
        url=reverse(page, args=[organization.slug]) if page else "",
    )


def _advice(exclusion: Exclusion, wishes: Wishes) -> tuple[str, str]:
    """What to change so that the offering would be left, and the page to do it on."""
    if exclusion.rule == "pinned_elsewhere":
        return f"Ask for {exclusion.offering.model}, which pins no provider", ""
    if exclusion.rule == "capability_missing":
        return "Ask without that capability, or choose another model", ""
    if exclusion.rule == "context_too_long":
        return "Send a shorter prompt, or choose a model with a longer context", ""
    if exclusion.origin == "organization":
        return "Widen the preferences", "preferences"
    if exclusion.origin == "key":
        return "Use a key with wider limits", "keys"
    if exclusion.origin == "plan":
        return "Ask for the model itself instead of the plan model", ""
    if exclusion.origin == "request":
        return "Widen the request's provider options", ""
    return "Nothing to change on your side", ""


def _provider_option(wishes: Wishes) -> str:
    """The same wishes as a request's ``provider`` object; empty where there are none."""
    option: dict[str, Any] = {
        name: list(getattr(wishes, name))
        for name in ("only", "ignore", "order", "regions")
        if getattr(wishes, name)
    }
    if wishes.sort:
        option["sort"] = wishes.sort
    if not wishes.allow_fallbacks:
        option["allow_fallbacks"] = False
    return json.dumps(option) if option else ""


def _names(catalogue: Catalogue) -> list[str]:
    pinned = {f"{o.provider}/{o.model}" for o in catalogue.offerings}
    plans = {f"tokenhub/{name}" for name in catalogue.plan_models}
    return [*sorted(catalogue.models), *sorted(plans), *sorted(pinned)]


def _same(values: Iterable[str]) -> list[tuple[str, str]]:
    return [(value, value) for value in sorted(values)]


def _named(key: ApiKey) -> str:
    return f"{key.name} ({key.label})"
