"""What every JSON request of ``/v1`` has: an object of known fields, a model, and our own routing options."""

import re
from functools import lru_cache
from typing import Any

import msgspec

from billing.money import nano_from_usd
from routing.types import Boundaries
from tokenhub.gateway.dialects.base import Fields
from tokenhub.gateway.errors import InvalidRequest

MAX_NAME = 200
MAX_NAMES = 50

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_SPACE = re.compile(rb"[ \t\r\n]*")
_KEY = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


class ProviderOptions(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The request's own wishes; they can only narrow what organization and key allow."""

    only: list[str] = []
    ignore: list[str] = []
    order: list[str] = []
    sort: str | None = None
    allow_fallbacks: bool = True
    regions: list[str] = []
    max_cost: str | float | None = None
    """The most the request may cost, in USD."""

    @property
    def max_cost_nano(self) -> int | None:
        """The same in nano-USD."""
        return None if self.max_cost is None else nano_from_usd(str(self.max_cost))


_NO_WISHES = ProviderOptions()


def read_object(body: bytes) -> Fields:
    """The fields of a JSON object in UTF-8, their values as they came."""
    try:
        body.decode()
        fields = _fields.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidRequest("The body must be a JSON object in UTF-8.") from None
    # A compact body that is longer than its members has one of them twice; others need a closer look.
    members = len(fields) * len('"":,') + len("".join(fields)) + len(b"".join(fields.values()))
    compact = len("{}") - len(",") + members
    if compact != len(body) and (twice := _repeated(body, fields)) is not None:
        raise InvalidRequest(f"“{twice[:80]}” is in the body more than once.", param=twice[:80])
    return fields


def take(fields: Fields, name: str, kind: Any, *, required: bool = False, within: str = "") -> Any:
    """A field's value as ``kind``; ``None`` where it is absent or null. ``InvalidRequest`` names it.

    ``within`` is the object that the fields are in, for its name.
    """
    full = f"{within}.{name}" if within else name
    raw = fields.get(name)
    if raw is None:
        if required:
            raise InvalidRequest(f"“{full}” is missing.", param=full)
        return None
    try:
        return _decoder(kind).decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        if not required and bytes(raw).strip() == b"null":
            return None
        raise InvalidRequest(f"“{full}”: {error}.", param=full) from None


def take_model(fields: Fields) -> str:
    """The name of the model that is asked for."""
    model: str = take(fields, "model", str, required=True)
    check_model(model)
    return model


def check_model(model: str) -> None:
    """``InvalidRequest`` for what cannot be a model's name."""
    if not model or len(model) > MAX_NAME:
        raise InvalidRequest(
            f"“model” must be a name of 1 to {MAX_NAME} characters.", param="model"
        )


def take_routing(fields: Fields) -> tuple[ProviderOptions, Boundaries | None]:
    """Our own ``provider``, taken out of the fields: wishes, and the boundary they make."""
    if "max_cost" in fields:
        # No dialect has such a field: who writes it there means ours, and relies on a limit of money.
        raise InvalidRequest(
            '“max_cost” belongs into “provider”: {"provider": {"max_cost": 0.05}}.',
            param="max_cost",
        )
    if "provider" not in fields:
        return _NO_WISHES, None
    options: ProviderOptions = take(fields, "provider", ProviderOptions) or ProviderOptions()
    del fields["provider"]
    if options.sort not in (None, "price", "latency", "throughput"):
        raise InvalidRequest(
            "“provider.sort” must be price, latency or throughput.", param="provider.sort"
        )
    for name in ("only", "ignore", "order", "regions"):
        named: list[str] = getattr(options, name)
        if len(named) > MAX_NAMES or not all(
            one.isprintable() and len(one) <= MAX_NAME for one in named
        ):
            raise InvalidRequest(
                f"“provider.{name}” must be at most {MAX_NAMES} names of at most {MAX_NAME} characters.",
                param=f"provider.{name}",
            )
    try:
        if options.max_cost_nano is not None and options.max_cost_nano <= 0:
            raise ValueError("not more than nothing")
    except ValueError:
        raise InvalidRequest(
            "“provider.max_cost” must be an amount in USD, such as 0.05, more than nothing.",
            param="provider.max_cost",
        ) from None
    return options, Boundaries(
        origin="request",
        allowed_providers=frozenset(options.only),
        denied_providers=frozenset(options.ignore),
        allowed_regions=frozenset(options.regions),
    )


def _repeated(body: bytes, fields: Fields) -> str | None:
    """The first member that an object has more than once: which of them counts would be a guess."""
    seen: set[str] = set()
    at = _SPACE.match(body).end() + 1  # type: ignore[union-attr]
    for _ in range(len(fields) + 1):
        at = _SPACE.match(body, at).end()  # type: ignore[union-attr]
        key = _KEY.match(body, at)
        if key is None:
            return None
        name: str = msgspec.json.decode(key.group())
        at = _SPACE.match(body, key.end()).end() + 1  # type: ignore[union-attr]
        at = _SPACE.match(body, at).end()  # type: ignore[union-attr]
        value = bytes(fields[name]).strip()
        if name in seen or not body.startswith(value, at):
            return name
        seen.add(name)
        at = _SPACE.match(body, at + len(value)).end() + 1  # type: ignore[union-attr]
    return None


@lru_cache(maxsize=100)
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)
