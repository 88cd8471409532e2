"""How often the REST API may be called: by a credential, from an address, and with keys that are none.

Counted in fixed windows in the shared cache, so that every process counts the same. Without the cache
nothing is counted and calls go through: who may do what does not depend on it.
"""

import time
from dataclasses import dataclass

import structlog
from django.conf import settings
from django.core.cache import cache
from redis.exceptions import RedisError

from tokenhub.api.problems import Problem

log = structlog.get_logger(__name__)

WINDOW_S = 60


@dataclass(frozen=True, slots=True)
class Standing:
    """Where somebody stands within a limit."""

    name: str
    quota: int
    used: int
    reset_s: int

    @property
    def remaining(self) -> int:
        """How many calls the window still lets through."""
        return max(self.quota - self.used, 0)

    def headers(self) -> dict[str, str]:
        """As draft-ietf-httpapi-ratelimit-headers has it."""
        return {
            "RateLimit-Policy": f'"{self.name}";q={self.quota};w={WINDOW_S}',
            "RateLimit": f'"{self.name}";r={self.remaining};t={self.reset_s}',
        }

    def check(self) -> "Standing":
        """Refuse what is over the limit."""
        if self.used > self.quota:
            raise Problem(
                429, "rate_limit_exceeded",
                f"{self.quota} requests a minute are allowed. Wait {self.reset_s} s.",
                headers={"Retry-After": str(self.reset_s), **self.headers()},
            )  # fmt: skip
        return self


def by_credential(name: str) -> Standing:
    """Count a call of a key or a member."""
    return _count("credential", settings.API_REQUESTS_PER_MINUTE, name)


def by_address(address: str) -> Standing:
    """Count a call from a network address, whoever makes it."""
    return _count("address", settings.API_ADDRESS_REQUESTS_PER_MINUTE, address)


def guesses(address: str, more: int = 0) -> Standing:
    """Count calls with keys that are none; with ``more=0`` only ask."""
    return _count("guesses", settings.API_FAILED_KEYS_PER_MINUTE, address, more)


def _count(name: str, quota: int, identity: str, more: int = 1) -> Standing:
    now = int(time.time())
    counter = f"api:{name}:{identity}:{now // WINDOW_S}"
    reset_s = WINDOW_S - now % WINDOW_S
    try:
        if more:
            cache.add(counter, 0, 2 * WINDOW_S)
            used = cache.incr(counter, more)
        else:
            used = cache.get(counter, 0)
    except (RedisError, OSError) as error:
        log.warning("limits_not_counted", error=type(error).__name__)
        used = 0
    except ValueError:
        # It expired between the two calls: the window is over.
        used = 0
    return Standing(name, quota, used, reset_s)
