"""Decisions as this process remembers them: filtered once per caller and kind of ask, ordered per conversation.

Nothing is remembered beyond the catalogue and health it was decided with. What a request may go to is
asked again right before it goes there (``chat/attempt.py``), whatever was remembered.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from msgspec.structs import replace

from routing.engine import MEASURED, Order, decide
from routing.types import Ask, Boundaries, Candidate, Catalogue, Decision, Health
from tokenhub.gateway.directory import Caller

MOST = 20_000


@dataclass(slots=True)
class _Remembered:
    """``boundaries`` are kept so that their identity, by which it is found, is nobody else's."""

    boundaries: Sequence[Boundaries]
    ask: Ask
    decision: Decision
    order: Order
    fits_tokens: int
    """No candidate's context is too short for an input of so many."""
    candidates: dict[int, bytes]
    before: bytes
    after: bytes

    def trace(self, decision: Decision) -> msgspec.Raw:
        """The decision as it goes on record, from parts that are written once."""
        listed = b",".join([self.candidates[id(one)] for one in decision.candidates])
        return msgspec.Raw(self.before + listed + self.after)


class Decisions:
    """What was decided with the catalogue and health of now."""

    def __init__(self) -> None:
        self._found: dict[tuple[object, ...], _Remembered] = {}
        self._catalogue: Catalogue | None = None
        self._health = Health()

    def decide(
        self,
        caller: Caller,
        ask: Ask,
        boundaries: Sequence[Boundaries],
        catalogue: Catalogue,
        health: Health,
    ) -> tuple[Decision, msgspec.Raw]:
        """What ``routing.engine.decide`` says, and its trace as JSON; raises as it does."""
        if ask.order or boundaries is not caller.boundaries:
            return _afresh(caller, ask, boundaries, catalogue, health)
        if self._catalogue is not catalogue or self._health is not health:
            self._forget(catalogue, health)
        # Keys whose boundaries are equal have the same ones (``directory``): they share what was decided.
        name = (
            id(boundaries), ask.organization, caller.policy_version,
            ask.model, ask.modality, ask.capabilities, ask.dialects, ask.sort,
        )  # fmt: skip
        found = self._found.get(name)
        if found is None or found.ask.plans != ask.plans:
            if len(self._found) >= MOST:
                self._found.clear()
            found = self._found[name] = _remember(caller, ask, catalogue, health)
        if ask.input_tokens // 6 > found.fits_tokens:
            return _afresh(caller, ask, boundaries, catalogue, health)
        ordered = found.order.of(ask.conversation)
        decision = Decision(ask.model, ordered, found.decision.excluded)
        return decision, found.trace(decision)

    def _forget(self, catalogue: Catalogue, health: Health) -> None:
        """Drop what another catalogue or health would decide otherwise; what is measured changes all the time."""
        if self._catalogue is not catalogue or self._health.tiers != health.tiers:
            self._found.clear()
        elif self._health.measured is not health.measured:
            self._found = {
                name: found for name, found in self._found.items() if found.ask.sort not in MEASURED
            }
        self._catalogue, self._health = catalogue, health


def _afresh(
    caller: Caller,
    ask: Ask,
    boundaries: Sequence[Boundaries],
    catalogue: Catalogue,
    health: Health,
) -> tuple[Decision, msgspec.Raw]:
    decision = decide(ask, boundaries, catalogue, health)
    return decision, trace_of(decision, caller)


def trace_of(decision: Decision, caller: Caller) -> msgspec.Raw:
    """A decision as it goes on record."""
    said = decision.as_dict() | {"policy_version": caller.policy_version}
    return msgspec.Raw(msgspec.json.encode(said))


def _remember(caller: Caller, ask: Ask, catalogue: Catalogue, health: Health) -> _Remembered:
    ask = replace(ask, input_tokens=0)
    decision = decide(ask, caller.boundaries, catalogue, health)
    said = decision.as_dict()
    lengths = [_context(candidate) for candidate in decision.candidates]
    parts = zip(decision.candidates, said["candidates"], strict=True)
    excluded = msgspec.json.encode(said["excluded"])
    return _Remembered(
        boundaries=caller.boundaries,
        ask=ask,
        decision=decision,
        order=Order(decision, ask, catalogue, health),
        fits_tokens=min((length for length in lengths if length is not None), default=2**62),
        candidates={id(candidate): msgspec.json.encode(part) for candidate, part in parts},
        before=b'{"model":%b,"candidates":[' % msgspec.json.encode(ask.model),
        after=b'],"excluded":%b,"policy_version":%d}' % (excluded, caller.policy_version),
    )


def _context(candidate: Candidate) -> int | None:
    return candidate.offering.context_length
