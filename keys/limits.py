"""What can be said of a key besides its secret: which values make sense, and how a trail writes them down."""

import ipaddress
from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypedDict

from django.utils import timezone

from keys.budgets import A_PERIOD, PERIODS, Budget
from keys.errors import InvalidKeyLimits, StrongerThanItsMaker
from keys.models import ApiKey

MAX_NAME = 80
MAX_RPM = 1_000_000
MAX_BUDGET_NANO = 1_000_000_000 * 10**9  # a billion dollars
MAX_LISTED = 500
LISTS = ("allowed_models", "allowed_providers", "allowed_regions")


class Changes(TypedDict, total=False):
    """What of a key is to be set; what is absent stays. ``None`` and empty lists take a limit away."""

    name: str
    scopes: Iterable[str]
    allowed_models: Iterable[str]
    allowed_providers: Iterable[str]
    allowed_regions: Iterable[str]
    ip_allowlist: Iterable[str]
    rpm: int | None
    budget: Budget | None
    expires_at: datetime | None


def cleaned(changes: Changes) -> dict[str, Any]:
    """The values of the model's fields; ``InvalidKeyLimits`` names what makes no sense."""
    values: dict[str, Any] = {}
    if "name" in changes:
        values["name"] = changes["name"].strip()
        if not values["name"] or len(values["name"]) > MAX_NAME or "\x00" in values["name"]:
            raise InvalidKeyLimits("name", "Give the key a name of at most 80 characters.")
    if "expires_at" in changes:
        values["expires_at"] = expires_at = changes["expires_at"]
        if expires_at is not None and expires_at <= timezone.now():
            raise InvalidKeyLimits("expires_at", "The expiry is in the past.")
    if "rpm" in changes:
        values["rpm"] = rpm = changes["rpm"]
        if rpm is not None and not 0 < rpm <= MAX_RPM:
            raise InvalidKeyLimits("rpm", f"Requests per minute must be between 1 and {MAX_RPM:,}.")
    if "budget" in changes:
        values |= _budget(changes["budget"])
    if "scopes" in changes:
        values["scopes"] = scopes = sorted(set(changes["scopes"]))
        if not set(scopes) <= set(ApiKey.Scope.values):
            raise InvalidKeyLimits("scopes", f"A scope is {', '.join(ApiKey.Scope.values)}.")
    for name in LISTS:
        if name in changes:
            listed: Iterable[str] = changes[name]  # type: ignore[literal-required]
            values[name] = sorted(set(listed))
            if len(values[name]) > MAX_LISTED or any(
                "\x00" in item or len(item) > 120 for item in values[name]
            ):
                raise InvalidKeyLimits(name, f"At most {MAX_LISTED} names of 120 characters.")
    if "ip_allowlist" in changes:
        values["ip_allowlist"] = _networks(changes["ip_allowlist"])
    return values


def described(key: ApiKey) -> dict[str, Any]:
    """Everything ``Changes`` can set, as it stands, for the trail and for comparison."""
    return {
        "name": key.name,
        "scopes": list(key.scopes),
        **{name: list(getattr(key, name)) for name in LISTS},
        "ip_allowlist": list(key.ip_allowlist),
        "rpm": key.rpm,
        "budget": None if key.budget is None else key.budget.as_dict(),
        "expires_at": None if key.expires_at is None else key.expires_at.isoformat(),
    }


def _budget(budget: Budget | None) -> dict[str, Any]:
    if budget is None:
        return {"budget_nano": None, "budget_period": ""}
    if not 0 < budget.amount_nano <= MAX_BUDGET_NANO:
        raise InvalidKeyLimits(
            "budget", "A budget is more than nothing and at most a billion dollars."
        )
    if budget.period not in PERIODS:
        raise InvalidKeyLimits("budget", f"The period of a budget is {', '.join(PERIODS)}.")
    return {"budget_nano": budget.amount_nano, "budget_period": budget.period}


def _networks(addresses: Iterable[str]) -> list[str]:
    networks = []
    for address in addresses:
        try:
            networks.append(str(ipaddress.ip_network(address.strip(), strict=False)))
        except ValueError:
            raise InvalidKeyLimits(
                "ip_allowlist",
                f"“{address}” is not an address or a network such as 203.0.113.0/24.",
            ) from None
    if len(networks) > MAX_LISTED:
        raise InvalidKeyLimits("ip_allowlist", f"At most {MAX_LISTED} networks.")
    return sorted(set(networks))


def inherited(maker: ApiKey) -> Changes:
    """What a key gets from the management key that makes it, where nothing else is said: the maker's own limits."""
    return {
        "allowed_models": maker.allowed_models,
        "allowed_providers": maker.allowed_providers,
        "allowed_regions": maker.allowed_regions,
        "ip_allowlist": maker.ip_allowlist,
        "rpm": maker.rpm,
        "budget": maker.budget,
        "expires_at": maker.expires_at,
    }


def limits_of(key: ApiKey) -> Changes:
    """How far a key reaches, as what would make another one reach as far."""
    return {**inherited(key), "scopes": key.scopes}


def refuse_stronger(maker: ApiKey, changes: Changes) -> None:
    """``StrongerThanItsMaker`` where a management key would give another key more than it has itself.

    A maker's list is the widest its keys can have, its expiry the latest, its rate and budget the highest: none of
    them spends more than the budget in any of its periods.
    """
    wanted = cleaned(changes)
    for name in LISTS:
        widest = set(getattr(maker, name))
        if name in wanted and widest and not (wanted[name] and set(wanted[name]) <= widest):
            raise StrongerThanItsMaker(f"“{name}” must stay within {', '.join(sorted(widest))}.")
    if (
        "ip_allowlist" in wanted
        and maker.ip_allowlist
        and not _within(wanted["ip_allowlist"], maker)
    ):
        raise StrongerThanItsMaker("“ip_allowlist” must stay within that of the management key.")
    if "scopes" in wanted and not set(wanted["scopes"]) <= set(maker.scopes):
        raise StrongerThanItsMaker(f"“scopes” must stay within {', '.join(maker.scopes)}.")
    for name in ("expires_at", "rpm"):
        limit, given = getattr(maker, name), wanted.get(name)
        if name in wanted and limit is not None and (given is None or given > limit):
            raise StrongerThanItsMaker(f"“{name}” must not exceed that of the management key.")
    if "budget" in changes and maker.budget and not maker.budget.covers(changes["budget"]):
        raise StrongerThanItsMaker(
            f"“budget” must not exceed that of the management key: {maker.budget.amount} USD"
            f" {A_PERIOD[maker.budget.period]}."
        )


def _within(networks: list[str], maker: ApiKey) -> bool:
    widest = [ipaddress.ip_network(network) for network in maker.ip_allowlist]
    return bool(networks) and all(
        any(
            network.version == wide.version and network.subnet_of(wide)  # type: ignore[arg-type]
            for wide in widest
        )
        for network in map(ipaddress.ip_network, networks)
    )
