"""Who is calling: the presented key, resolved to a ``Caller`` from memory, filled from PostgreSQL on demand.

Entries are dropped on NOTIFY, so a revocation takes effect in every process as soon as it commits.
While nothing is heard from the database, memory is not trusted and every call asks again.
"""

import asyncio
import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from keys import secrets
from keys.budgets import MONTH
from keys.networks import Network, inside, networks_of
from routing.types import Boundaries
from tokenhub.gateway.database import Link
from tokenhub.gateway.errors import (
    InsufficientScope,
    InvalidApiKey,
    OrganizationSuspended,
    RateLimitExceeded,
)
from tokenhub.gateway.funds import Budget
from tokenhub.gateway.limits.local import RateLimiter

MAX_CALLERS = 50_000
MAX_UNKNOWN = 20_000
UNKNOWN_FOR_S = 5.0
LOOK_AGAIN_S = 60.0
"""After how long terms that have an end are asked for again, should the database's clock have jumped."""
GUESSES_PER_MINUTE = 60
"""Keys that nobody has, from one address, that the database is asked about."""

_CALLER = """
SELECT k.id, k.name, k.kind,
       extract(epoch FROM least(k.expires_at, found.expires_at) - clock_timestamp())::float8,
       k.revoked_at IS NOT NULL,
       k.allowed_models, k.allowed_providers, k.allowed_regions, k.ip_allowlist, k.rpm,
       o.id, o.status, t.plan, t.rank, t.rpm, t.concurrency, t.fee_bps, t.fee_source,
       extract(epoch FROM t.until - clock_timestamp())::float8,
       f.allowed_regions, f.allowed_providers, f.denied_providers, f.allowed_models, f.denied_models,
       f.require, f.strategy, coalesce(f.version, 0),
       k.budget_nano, k.budget_period, b.monthly_nano
  FROM (SELECT id AS key_id, NULL::timestamptz AS expires_at FROM keys_apikey WHERE digest = %(digest)s
        UNION ALL
        SELECT key_id, expires_at FROM keys_retiredsecret WHERE digest = %(digest)s) found
  JOIN keys_apikey k ON k.id = found.key_id
  JOIN accounts_organization o ON o.id = k.organization_id
  CROSS JOIN LATERAL billing_terms_at(o.id, clock_timestamp()) t
  LEFT JOIN routing_preferences f ON f.organization_id = o.id
  LEFT JOIN billing_budget b ON b.organization_id = o.id AND b.monthly_is_hard
"""


@dataclass(frozen=True, slots=True)
class Caller:
    """A key and what it may do, compiled for the hot path; good until ``until_s``.

    Its times are monotonic, worked out from the database's clock: this machine's may be wrong.
    """

    key_id: str
    key_name: str
    kind: str
    expires_s: float | None
    revoked: bool
    key_rpm: int | None
    networks: tuple[Network, ...]
    organization_id: str
    suspended: bool
    plan: str
    plan_rank: int
    rpm: int
    concurrency: int
    fee_bps: int
    fee_source: str
    until_s: float
    boundaries: tuple[Boundaries, ...]
    strategy: str
    policy_version: int
    budgets: tuple[Budget, ...] = ()
    digest: bytes = b""
    """By which it is remembered."""


class Directory:
    """Callers by the digest of their key."""

    def __init__(self, link: Link, encryption_keys: Sequence[str]) -> None:
        self._link = link
        self._peppers = secrets.peppers(encryption_keys)
        self._callers: OrderedDict[bytes, Caller] = OrderedDict()
        # Apart from the callers: whoever guesses must not push out those who call.
        self._unknown: OrderedDict[bytes, float] = OrderedDict()
        self._guesses = RateLimiter()
        self._asking = asyncio.Lock()
        self._by_organization: dict[str, set[bytes]] = {}
        self._epoch = 0
        self.trusted = False
        """Whether changes are being heard; set by the listener."""

    def cached(self, secret: str) -> Caller | None:
        """The caller from memory, or ``None`` where the database must be asked.

        Raises ``InvalidApiKey`` for what cannot be a key of ours, without asking anyone.
        """
        found = digest = None
        if self.trusted:
            digest = secrets.digest(secret, self._peppers[0])
            found = self._callers.get(digest)
        if found is None:
            # What is remembered was looked at when it came.
            if secrets.kind_of(secret) is None:
                raise _invalid()
            if digest is not None and self._unknown.get(digest, 0.0) > time.monotonic():
                raise _invalid()
            return None
        # Terms change at their instant, announced long before: nobody is told again then.
        return found if found.until_s > time.monotonic() else None

    def still(self, caller: Caller) -> bool:
        """Whether nothing was heard that changes what this caller may do; ``False`` also where nobody can say."""
        return (
            self.trusted
            and self._callers.get(caller.digest) is caller
            and caller.until_s > time.monotonic()
        )

    async def find(self, secret: str, address: str) -> Caller:
        """The caller from the database; ``InvalidApiKey`` for an unknown key, or ``DatabaseAway``.

        An address that has presented too many keys that nobody has is not looked up for a while
        (``RateLimitExceeded``): the database is not asked for every guess.
        """
        guesser = network_of(address)
        async with self._asking:  # in turn, so that no burst of guesses gets past the count
            guesses = self._guesses.look(guesser, GUESSES_PER_MINUTE, time.monotonic())
            if guesses.retry_after_s:
                raise RateLimitExceeded(
                    "Too many unknown keys came from your network address."
                    f" Retry in {guesses.wait_s} s with a key that exists.",
                    headers={"retry-after": str(guesses.wait_s)},
                )
            found = await self._ask(secret)
            if found is None:
                self._guesses.take(guesser, GUESSES_PER_MINUTE, time.monotonic())
                raise _invalid()
            return found

    async def _ask(self, secret: str) -> Caller | None:
        epoch = self._epoch
        first = secrets.digest(secret, self._peppers[0])
        for pepper in self._peppers:
            rows = await self._link.fetch(_CALLER, {"digest": secrets.digest(secret, pepper)})
            if rows:
                caller = _compile(rows[0], first)
                # A change that was told while we were reading may not be in what we read.
                if self.trusted and epoch == self._epoch:
                    self._remember(first, caller)
                return caller
        if self.trusted and epoch == self._epoch:
            self._unknown[first] = time.monotonic() + UNKNOWN_FOR_S
            while len(self._unknown) > MAX_UNKNOWN:
                self._unknown.popitem(last=False)
        return None

    def forget_key(self, digest: bytes) -> None:
        """A key changed."""
        self._epoch += 1
        if len(self._peppers) > 1:
            # Remembered under the current pepper's digest, told under the one it is stored with.
            self.forget_all()
            return
        self._callers.pop(digest, None)
        self._unknown.pop(digest, None)

    def forget_organization(self, organization_id: str) -> None:
        """An organization, its terms or its preferences changed."""
        self._epoch += 1
        for digest in self._by_organization.pop(organization_id, ()):
            self._callers.pop(digest, None)

    def forget_all(self) -> None:
        """Something changed that concerns everyone, or we may have missed a word."""
        self._epoch += 1
        self._callers.clear()
        self._unknown.clear()
        self._by_organization.clear()

    def _remember(self, digest: bytes, caller: Caller) -> None:
        self._callers[digest] = caller
        self._by_organization.setdefault(caller.organization_id, set()).add(digest)
        while len(self._callers) > MAX_CALLERS:
            old_digest, old = self._callers.popitem(last=False)
            self._by_organization.get(old.organization_id, set()).discard(old_digest)


def network_of(address: str) -> str:
    """Whom to count guesses against: an IPv4 address, or the /64 that one IPv6 customer has."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def check(caller: Caller, client_address: str | None, now_s: float) -> None:
    """Refuse a caller whose key or organization may not call now; ``now_s`` is monotonic."""
    if caller.revoked or (caller.expires_s is not None and caller.expires_s <= now_s):
        raise _invalid()
    if caller.kind != "inference":
        raise InsufficientScope(
            "This is a management key. Calls need an inference key (thk_…); create one on the keys page."
        )
    if caller.networks and not inside(client_address, caller.networks):
        raise InsufficientScope("This key may not be used from your network address.")
    if caller.suspended:
        raise OrganizationSuspended(
            "This organization is suspended. Write to us through the contact page."
        )


def _invalid() -> InvalidApiKey:
    return InvalidApiKey(
        "The API key is missing, malformed, unknown, expired or revoked. Send it as"
        " “Authorization: Bearer thk_…”."
    )


@lru_cache(maxsize=MAX_CALLERS)
def _shared(boundaries: tuple[Boundaries, ...]) -> tuple[Boundaries, ...]:
    """The same for all that are equal: most keys have no limits of their own."""
    return boundaries


def _compile(row: Sequence[Any], digest: bytes) -> Caller:
    (
        key_id, key_name, kind, expires_in_s, revoked,
        key_models, key_providers, key_regions, ip_allowlist, key_rpm,
        organization_id, status, plan, plan_rank, rpm, concurrency, fee_bps, fee_source, ends_in_s,
        regions, providers, denied_providers, models, denied_models,
        require, strategy, version,
        budget_nano, budget_period, monthly_nano,
    ) = row  # fmt: skip
    boundaries = (
        Boundaries(
            origin="organization",
            allowed_regions=frozenset(regions or ()),
            allowed_providers=frozenset(providers or ()),
            denied_providers=frozenset(denied_providers or ()),
            allowed_models=frozenset(models or ()),
            denied_models=frozenset(denied_models or ()),
            require=frozenset(require or ()),
        ),
        Boundaries(
            origin="key",
            allowed_regions=frozenset(key_regions),
            allowed_providers=frozenset(key_providers),
            allowed_models=frozenset(key_models),
        ),
    )
    now_s = time.monotonic()
    budgets = []
    if budget_nano is not None:
        budgets.append(Budget(str(key_id), str(organization_id), budget_nano, budget_period))
    if monthly_nano is not None:
        budgets.append(Budget(str(organization_id), str(organization_id), monthly_nano, MONTH))
    return Caller(
        key_id=key_id.hex,
        key_name=key_name,
        kind=kind,
        expires_s=None if expires_in_s is None else now_s + expires_in_s,
        revoked=revoked,
        key_rpm=key_rpm,
        networks=networks_of(ip_allowlist),
        organization_id=str(organization_id),
        suspended=status != "active",
        plan=plan,
        plan_rank=plan_rank,
        rpm=rpm,
        concurrency=concurrency,
        fee_bps=fee_bps,
        fee_source=fee_source,
        until_s=math.inf if ends_in_s is None else now_s + min(ends_in_s, LOOK_AGAIN_S),
        boundaries=_shared(boundaries),
        strategy=strategy or "balanced",
        policy_version=version,
        budgets=tuple(budgets),
        digest=digest,
    )
