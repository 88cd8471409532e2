"""What the dialects share."""

from collections.abc import Mapping

import msgspec

from tokenhub.gateway.errors import InvalidRequest

Fields = dict[str, msgspec.Raw]
"""A JSON object whose values are kept as they came."""

# No model reads or writes more in one request; a count beyond is no usage.
MAX_COUNT = 100_000_000


class InvalidResult(Exception):
    """The provider's answer is not a valid result; ``outcome`` names why, in the words of the trace."""

    def __init__(self, outcome: str) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class Inexpressible(InvalidRequest):
    """The provider's dialect has no way to say what the client asked for; another's may have."""


class Completion(msgspec.Struct, frozen=True):
    """A valid plain answer in the client's shape, and what it used in disjoint units."""

    body: bytes
    units: dict[str, int]


def checked(counts: Mapping[str, int], prompt: int) -> dict[str, int]:
    """Disjoint unit counts without the zeros; ``InvalidResult`` where they contradict themselves or physics."""
    numbers = counts.values()
    if min(numbers) < 0 or sum(numbers) > MAX_COUNT or prompt < 1:
        raise InvalidResult("invalid_usage")
    return {unit: count for unit, count in counts.items() if count}
