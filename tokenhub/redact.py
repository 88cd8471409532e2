"""Takes anything like a credential out of what is logged or reported. The last line of defence, not the first."""

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

GONE = "[redacted]"
MAX_DEPTH = 6
# What keys look like: ours, webhooks', Stripe's and providers', tokens in a header, passwords in a URL.
_SECRETS = re.compile(
    r"""
      \b(?:thk|thm)_[A-Za-z0-9_-]{6,}
    | \bwhsec_[A-Za-z0-9+/=_-]{6,}
    | \b(?:sk|rk|pk)[-_](?:live|test|ant|proj|or)?[A-Za-z0-9_-]{8,}
    | (?i:\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}
    | (?<=://)[^/\s:@]*:[^/\s@]+(?=@)
    | \beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*
    """,
    re.VERBOSE,
)
# Names whose values are never written, whatever they look like.
_NAMES = re.compile(
    r"(?i)^(?:.*[_-])?(?:authorization|x-api-key|api[_-]?key|secret|password|passwd|credential|token|cookie|csrf\w*|digest|dsn)s?$"
)
# Counts of tokens are no tokens.
_HARMLESS = re.compile(
    r"(?i)^(?:max|input|output|prompt|completion|total|first|cached|reasoning)[_-].*tokens?$|^first_token.*$"
)


def redacted(text: str) -> str:
    """A text without anything that looks like a credential."""
    return _SECRETS.sub(GONE, text)


def clean(value: Any, depth: int = 0, *, limit: int = MAX_DEPTH) -> Any:
    """A value without credentials, at any depth; what is nested too deep is left out."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, bytes):
        return redacted(value.decode("utf-8", "replace"))
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth >= limit:
        return GONE
    if isinstance(value, Mapping):
        return {
            redacted(str(name)): GONE if _hides(name, item) else clean(item, depth + 1, limit=limit)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [clean(item, depth + 1, limit=limit) for item in value]
    return redacted(str(value))


def is_secret(name: str) -> bool:
    """Whether what has this name is a credential."""
    return bool(_NAMES.match(name)) and not _HARMLESS.match(name)


def _hides(name: Any, item: Any) -> bool:
    return bool(item) and not isinstance(item, int | float) and is_secret(str(name))


def processor(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """For structlog, the last before rendering: cleans every field of every record."""
    kept = {name: event.pop(name) for name in ("_record", "_from_structlog") if name in event}
    cleaned: dict[str, Any] = clean(dict(event))
    event.clear()
    event.update(cleaned, **kept)
    return event
