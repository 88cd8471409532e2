"""Which credentials of an endpoint rest for now, as this process remembers; and what operators must hear."""

from collections.abc import Sequence

from routing.credentials import Refusal, Secret

REFUSED = frozenset({401, 402, 403})
"""Statuses that mean a credential is not accepted: our fault, never the customer's."""
LIMITED = 429
MOST_TRIED = 3
REFUSED_REST_S = 300.0
LIMITED_REST_S = 10.0


Name = tuple[int, str]
"""A credential at an endpoint: the endpoint's id, the credential's fingerprint."""


class Credentials:
    """What this process remembers of credentials."""

    def __init__(self) -> None:
        self._resting_until_s: dict[Name, float] = {}
        self._refused: set[Name] = set()
        self._told: dict[Name, Refusal] = {}  # what is not on record yet

    def order(self, endpoint: int, secrets: Sequence[Secret], now_s: float) -> Sequence[Secret]:
        """Those to try, in order: what is not resting, or else the one whose rest ends first."""
        if len(secrets) == 1:
            return secrets
        resting = self._resting_until_s
        ready = [one for one in secrets if resting.get((endpoint, one.fingerprint), 0.0) <= now_s]
        if ready:
            return ready[:MOST_TRIED]
        return [min(secrets, key=lambda one: resting[endpoint, one.fingerprint])]

    def refused(
        self, endpoint: int, secret: Secret, status: int, rest_s: float, now_s: float
    ) -> None:
        """It was refused or limited: it rests; a refusal is told to the operators."""
        name = (endpoint, secret.fingerprint)
        self._resting_until_s[name] = now_s + rest_s
        if status in REFUSED:
            self._refused.add(name)
            self._told[name] = Refusal(endpoint, secret.fingerprint, status)

    def answered(self, endpoint: int, secret: Secret) -> None:
        """It works."""
        if not self._resting_until_s and not secret.alarmed:
            return
        name = (endpoint, secret.fingerprint)
        self._resting_until_s.pop(name, None)
        if secret.alarmed or name in self._refused:
            self._refused.discard(name)
            self._told[name] = Refusal(endpoint, secret.fingerprint, None)

    @property
    def urgent(self) -> bool:
        """Whether there is something the operators do not know yet."""
        return bool(self._told)

    def report(self) -> list[Refusal]:
        """What the operators do not know yet."""
        told, self._told = self._told, {}
        return list(told.values())

    def put_back(self, report: Sequence[Refusal]) -> None:
        """A report that could not be written."""
        earlier = {(refusal.endpoint, refusal.fingerprint): refusal for refusal in report}
        self._told = earlier | self._told
