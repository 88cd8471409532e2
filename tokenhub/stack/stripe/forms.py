"""Stripe's form encoding: brackets make dictionaries and lists, and every value is text."""

import re
from typing import Any
from urllib.parse import parse_qsl

from tokenhub.stack.stripe.errors import invalid, missing

MAX_METADATA = 50
_PART = re.compile(r"\[([^\]]*)\]")
_INTEGER = re.compile(r"-?[0-9]{1,15}")


def decode(encoded: str) -> dict[str, Any]:
    """``a[b][0]=x&expand[]=y`` as ``{"a": {"b": ["x"]}, "expand": ["y"]}``."""
    root: dict[str, Any] = {}
    for key, value in parse_qsl(encoded, keep_blank_values=True):
        name, bracket, _ = key.partition("[")
        path = [name, *_PART.findall(key)] if bracket else [name]
        node = root
        for part in path[:-1]:
            node = _inside(node, part or str(len(node)), key)
        if not isinstance(node, dict):
            raise invalid(f"Invalid parameter: {key}", code="parameter_invalid", param=key)
        node[path[-1] or str(len(node))] = value
    return {name: _lists(value, name) for name, value in root.items()}


def _inside(node: dict[str, Any], part: str, key: str) -> dict[str, Any]:
    child = node.setdefault(part, {})
    if not isinstance(child, dict):
        raise invalid(f"Invalid parameter: {key}", code="parameter_invalid", param=key)
    return child


def _lists(value: Any, name: str) -> Any:
    if not isinstance(value, dict):
        return value
    converted = {key: _lists(child, key) for key, child in value.items()}
    # Metadata's keys are the caller's own and stay a dictionary even when they look like numbers.
    if name != "metadata" and all(key.isdigit() for key in converted):
        return [converted[key] for key in sorted(converted, key=int)]
    return converted


def text(params: dict[str, Any], name: str) -> str | None:
    """A text, or None when it is absent or empty (an empty value unsets, with Stripe)."""
    value = params.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise invalid("Invalid string", code="parameter_invalid_string", param=name)
    return value


def required(params: dict[str, Any], name: str) -> str:
    """A text that must be there."""
    value = text(params, name)
    if value is None:
        raise missing(name)
    return value


def integer(params: dict[str, Any], name: str) -> int | None:
    """A whole number, or None when it is absent."""
    value = text(params, name)
    if value is None:
        return None
    if not _INTEGER.fullmatch(value):
        raise invalid(f"Invalid integer: {value}", code="parameter_invalid_integer", param=name)
    return int(value)


def flag(params: dict[str, Any], name: str) -> bool | None:
    """True or false, or None when it is absent."""
    value = text(params, name)
    if value is None:
        return None
    if value not in ("true", "false"):
        raise invalid(f"Invalid boolean: {value}", code="parameter_invalid_boolean", param=name)
    return value == "true"


def mapping(params: dict[str, Any], name: str) -> dict[str, Any]:
    """A dictionary; empty when it is absent."""
    value = params.get(name)
    if value is None or value in ("", []):
        return {}
    if not isinstance(value, dict):
        raise invalid("Invalid object", code="parameter_invalid", param=name)
    return value


def sequence(params: dict[str, Any], name: str) -> list[Any]:
    """A list; empty when it is absent."""
    value = params.get(name)
    if value is None or value == "":
        return []
    if not isinstance(value, list):
        raise invalid("Invalid array", code="parameter_invalid", param=name)
    return value


def metadata(params: dict[str, Any], old: dict[str, str] | None = None) -> dict[str, str]:
    """The metadata after this request: given keys are set, keys given as empty are taken away."""
    if params.get("metadata") == "":
        return {}
    merged = {**(old or {}), **mapping(params, "metadata")}
    for key, value in merged.items():
        if not isinstance(value, str) or len(key) > 40 or len(value) > 500:
            raise invalid(
                "Metadata has keys of up to 40 and values of up to 500 characters.",
                code="parameter_invalid",
                param=f"metadata[{key}]",
            )
    kept = {key: value for key, value in merged.items() if value != ""}
    if len(kept) > MAX_METADATA:
        raise invalid(
            f"Metadata can have up to {MAX_METADATA} keys.",
            code="parameter_invalid",
            param="metadata",
        )
    return kept


def usd(params: dict[str, Any]) -> str:
    """The currency, which is always US dollars here."""
    currency = required(params, "currency").lower()
    if currency != "usd":
        raise invalid(
            f"Invalid currency: {currency}. Only usd is simulated.",
            code="parameter_invalid",
            param="currency",
        )
    return currency
