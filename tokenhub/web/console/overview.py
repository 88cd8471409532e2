"""The organization's first page: money, use, and what to do next."""

from dataclasses import dataclass
from datetime import date, timedelta

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Exists, OuterRef
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST
from django_htmx.http import HttpResponseClientRefresh

from accounts.access import LAST_ORGANIZATION, OrganizationRequest, organization_view
from accounts.forms import OrganizationForm
from accounts.models import Membership, Organization, User
from accounts.roles import Permission
from accounts.services import create_organization
from billing.models import Budget, Usage
from billing.plans import terms_of
from billing.selectors import (
    MANY_DAYS,
    UsageSummary,
    balance_of,
    days_left,
    first_token,
    usage_summaries,
)
from billing.usage import Period as UsagePeriod
from billing.usage import Sums, key_names, usage_in_groups
from keys.models import ApiKey
from routing.models import Preferences

LATEST = 8
LEADING = 5
# So many of the newest requests tell how soon answers begin.
MOST_TIMED = 1_000


@login_required
def console(request: HttpRequest) -> HttpResponse:
    """To the organization that was open last, or to the first, or to making one."""
    assert isinstance(request.user, User)
    mine = Organization.objects.open_to(request.user)
    last = mine.filter(slug=request.session.get(LAST_ORGANIZATION, "")).first() or mine.first()
    return redirect("overview", last.slug) if last else redirect("organization_new")


@login_required
def organization_new(request: HttpRequest) -> HttpResponse:
    """Another organization, owned by who asks for it."""
    assert isinstance(request.user, User)
    form = OrganizationForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        organization = create_organization(
            name=form.cleaned_data["name"],
            owner=request.user,
            ip_address=request.META.get("REMOTE_ADDR"),
        )
        return redirect("overview", organization.slug)
    status = 422 if form.is_bound else 200
    return render(request, "accounts/organization_new.html", {"form": form}, status=status)


@organization_view(Permission.VIEW)
def overview(request: OrganizationRequest) -> HttpResponse:
    """Balance, spend, requests, and a checklist that follows from facts."""
    organization = request.organization
    balance = balance_of(organization)
    periods = _periods(organization)
    latest = list(Usage.objects.for_organization(organization)[:LATEST])
    has_money = balance.balance_nano > 0 or periods[-1].sums.total_nano > 0
    steps = _steps(request, has_money=has_money, has_requests=bool(latest))
    context = {
        "balance": balance,
        "terms": terms_of(organization),
        "periods": periods,
        "first_token": first_token(
            organization, timezone.now() - timedelta(days=7), most=MOST_TIMED
        ),
        "leaders": _leaders(organization, periods[-1]),
        "week": periods[1].sums,
        "month": periods[-1],
        "days_left": days_left(balance, periods[1].sums.total_nano),
        "many_days": MANY_DAYS,
        "latest": latest,
        "steps": steps,
        "steps_left": 0
        if request.membership.checklist_hidden
        else sum(not step.done for step in steps),
    }
    return render(request, "console/overview.html", context)


@require_POST
@organization_view(Permission.VIEW)
def checklist_dismiss(request: OrganizationRequest) -> HttpResponse:
    """A member does not want to see what is left to do; the others' pages stay."""
    Membership.objects.filter(pk=request.membership.pk).update(checklist_hidden=True)
    return redirect("overview", request.organization.slug)


@organization_view(Permission.VIEW)
def first_call(request: OrganizationRequest) -> HttpResponse:
    """Asked now and then by the overview while there is no request: nothing, or that there is one."""
    if not Usage.objects.for_organization(request.organization).exists():
        return HttpResponse(status=204)
    messages.success(
        request, "Your first call has arrived. It is below, with what it cost and why."
    )
    return HttpResponseClientRefresh()


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days in UTC up to and including today, and what they came to."""

    name: str
    first_day: date
    sums: UsageSummary


@dataclass(frozen=True, slots=True)
class Leaders:
    """The first few of a group by what they cost: ``(name, value in the log's filter, sums)``."""

    title: str
    head: str
    filter: str
    rows: list[tuple[str, str, Sums]]


@dataclass(frozen=True, slots=True)
class Step:
    """Something a new customer does first; ``done`` follows from facts."""

    words: str
    url: str
    done: bool


def _periods(organization: Organization) -> list[Period]:
    tomorrow = timezone.now().date() + timedelta(days=1)
    lengths = {"Today": 1, "7 days": 7, "30 days": 30}
    since = [tomorrow - timedelta(days=days) for days in lengths.values()]
    sums = usage_summaries(organization, since, tomorrow)
    return [
        Period(name, start, each) for name, start, each in zip(lengths, since, sums, strict=True)
    ]


def _leaders(organization: Organization, period: Period) -> list[Leaders]:
    """Who spent most in a period: models, and keys."""
    days = UsagePeriod(period.first_day, timezone.now().date() + timedelta(days=1))
    models: dict[str, Sums] = {}
    keys: dict[str, Sums] = {}
    for (model, key), sums in usage_in_groups(organization, ["model", "key"], days, {}).items():
        keys[key] = keys.get(key, Sums()) + sums
        if model:  # what was refused before it was routed has none
            models[model] = models.get(model, Sums()) + sums
    names = key_names(organization, [key for key, _ in _most(keys)])
    return [
        Leaders("models", "Model", "model", [(slug, slug, sums) for slug, sums in _most(models)]),
        Leaders(
            "keys",
            "Key",
            "key",
            [
                (names.get(key, "a key"), f"key_{key.replace('-', '')}", sums)
                for key, sums in _most(keys)
            ],
        ),
    ]


def _most(sums: dict[str, Sums]) -> list[tuple[str, Sums]]:
    return sorted(sums.items(), key=lambda each: (-each[1].total_nano, -each[1].requests, each[0]))[
        :LEADING
    ]


def _steps(request: OrganizationRequest, *, has_money: bool, has_requests: bool) -> list[Step]:
    tenant = request.organization
    of_tenant = {"organization": tenant.pk}
    # One query for all there is to know.
    facts = Membership.objects.values_list(
        Exists(EmailAddress.objects.filter(user=OuterRef("user"), verified=True)),
        Exists(ApiKey.objects.filter(**of_tenant)),
        Exists(Preferences.objects.filter(**of_tenant)),
        Exists(Budget.objects.filter(**of_tenant)),
        Exists(Authenticator.objects.filter(user=OuterRef("user"))),
    ).get(pk=request.membership.pk)
    verified, has_key, has_preferences, has_budget, has_second_factor = facts
    return [
        Step("Verify your address", reverse("account_email"), verified),
        Step("Create an API key", reverse("keys", args=[tenant.slug]), has_key),
        Step("Add money", reverse("top_up", args=[tenant.slug]), has_money),
        Step("Make a first call", reverse("docs"), has_requests),
        Step("Set where data may go", reverse("preferences", args=[tenant.slug]), has_preferences),
        Step("Set a budget", reverse("budgets", args=[tenant.slug]), has_budget),
        Step("Turn on two-factor sign-in", reverse("mfa_index"), has_second_factor),
    ]
