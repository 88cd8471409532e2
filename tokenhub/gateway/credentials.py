"""Which of an endpoint's credentials is used: the first that is not resting.

A provider that refuses one (401, 402, 403) or limits it (429) is asked again with the next, within the
same attempt; the one refused rests for a while. A refusal is our fault, never the customer's: operators
are alarmed through the record (``routing/credentials.py``).
"""

import time
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from routing.credentials import Secret
from routing.types import Offering
from tokenhub.gateway.keyring import LIMITED, LIMITED_REST_S, REFUSED, REFUSED_REST_S
from tokenhub.gateway.offerings import Access
from tokenhub.gateway.runtime import Runtime
from tokenhub.gateway.upstream import Response, UpstreamError

log = structlog.get_logger(__name__)


class Refusal(msgspec.Struct, frozen=True):
    """A credential that a provider refused or limited, by its fingerprint, and the status."""

    credential: str
    status: int


LONGEST_REST_S = 60.0
"""A provider that asks for more is asked again all the same."""


async def with_credential(
    runtime: Runtime,
    offering: Offering,
    ask: Callable[[Access, str], Awaitable[Response]],
    refusals: list[Refusal] | None = None,
) -> Response:
    """Ask a provider with one of our credentials, and with the next where it refuses one.

    ``ask`` sends the request with the secret it is given. Returns the first answer that is no
    refusal of a credential, or the last refusal; ``refusals`` is told of each. Raises ``UpstreamError``.
    """
    access = runtime.snapshot().access.get(offering.id)
    if access is None:
        raise UpstreamError("withdrawn")
    *others, last = access.secrets
    if others:  # a single one is used, whether or not it rests
        now_s = time.monotonic()
        *others, last = runtime.credentials.order(access.endpoint, access.secrets, now_s)
    for secret in others:
        response = await ask(access, secret.value)
        if not _refused(runtime, access, secret, response, refusals):
            return response
        async with response:
            log.info("credential_rotated", provider=offering.provider, status=response.status)
    response = await ask(access, last.value)
    _refused(runtime, access, last, response, refusals)
    return response


def retry_after_s(response: Response) -> float | None:
    """How long the provider asks us to stay away, where it says so in seconds; bounded."""
    given = response.header(b"retry-after").strip()
    return min(float(given), LONGEST_REST_S) if given.isdigit() and len(given) < 10 else None


def _refused(
    runtime: Runtime,
    access: Access,
    secret: Secret,
    response: Response,
    refusals: list[Refusal] | None,
) -> bool:
    """Whether the answer is about the credential, and not about the request."""
    if response.status == LIMITED:
        rest_s = retry_after_s(response) or LIMITED_REST_S
    elif response.status in REFUSED:
        rest_s = REFUSED_REST_S
    else:
        runtime.credentials.answered(access.endpoint, secret)
        return False
    if refusals is not None:
        refusals.append(Refusal(secret.fingerprint, response.status))
    now_s = time.monotonic()
    runtime.credentials.refused(access.endpoint, secret, response.status, rest_s, now_s)
    return True
