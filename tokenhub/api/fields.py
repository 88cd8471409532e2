"""How things are written in JSON: money, instants, lists of names; and bodies that refuse what they do not know."""

import re
import uuid
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from billing.money import nano_from_usd, usd_from_nano

USD_PATTERN = r"^-?\d+\.\d{2,9}$"


@extend_schema_field({"type": "string", "pattern": USD_PATTERN, "example": "12.50"})
class Usd(serializers.Field[int, str, str, int]):
    """Nano-USD, written as a decimal string in USD with nothing rounded."""

    def to_representation(self, value: int) -> str:
        return usd_from_nano(value)


@extend_schema_field({"type": "string", "pattern": r"^\d{1,7}(\.\d{1,9})?$", "example": "25.00"})
class UsdAmount(serializers.Field[int, Any, str, int]):
    """An amount in USD that is sent to us: a decimal string, so that no float ever touches it."""

    default_error_messages = {"invalid": "Write the amount as a string such as “25.00”."}

    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, str) or not _is_plain(data):
            self.fail("invalid")
        try:
            return nano_from_usd(data)
        except ValueError:
            self.fail("invalid")

    def to_representation(self, value: int) -> str:
        return usd_from_nano(value)


def _is_plain(text: str) -> bool:
    whole, point, decimals = text.partition(".")
    return (
        text.isascii() and whole.isdigit() and len(whole) <= 7
        and (decimals.isdigit() and len(decimals) <= 9 if point else True)
    )  # fmt: skip


_KEY_ID = "^key_[0-9a-f]{32}$"


@extend_schema_field({"type": "string", "pattern": _KEY_ID})
class KeyId(serializers.Field[str, Any, str, str]):
    """The id of a key; as the bare UUID that usage is kept under."""

    default_error_messages = {"invalid": "This is not the id of a key."}

    def __init__(self, **options: Any) -> None:
        super().__init__(help_text="The id of a key.", **options)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str) or not re.fullmatch(_KEY_ID, data) or data.endswith("\n"):
            self.fail("invalid")
        return str(uuid.UUID(hex=data.removeprefix("key_")))


def address(view: str, *names: str) -> str:
    """The whole address of a page or an operation."""
    return f"{settings.PUBLIC_URL}{reverse(view, args=names)}"


class Text(serializers.CharField):
    """A string, and no number that could be written as one."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Names(serializers.ListField):
    """A list of names."""

    def __init__(self, max_length: int = 160, **options: Any) -> None:
        options.setdefault("max_length", 500)
        super().__init__(child=Text(max_length=max_length), **options)


class Answer(serializers.Serializer[Any]):
    """An object we send. ``example`` is shown in the documentation."""

    example: dict[str, Any] = {}


class Body(serializers.Serializer[Any]):
    """An object we are sent. A field that we do not know is refused: it would be a wish that nobody heeds."""

    example: dict[str, Any] = {}

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            unknown = sorted(set(data) - set(self.fields))
            if unknown:
                raise serializers.ValidationError(
                    {
                        str(name)[:100]: [
                            serializers.ErrorDetail("There is no such field.", "unknown_field")
                        ]
                        for name in unknown[:20]
                    }
                )
            wrong = [name for name, value in data.items() if not _is_of(self.fields[name], value)]
            if wrong:
                message = "This is not of the right JSON type."
                raise serializers.ValidationError(
                    {name: [serializers.ErrorDetail(message, "invalid")] for name in wrong}
                )
        return super().to_internal_value(data)


def _is_of(field: serializers.Field[Any, Any, Any, Any], value: Any) -> bool:
    """Whether a value has the field's JSON type: DRF itself would take 0 for "0", and "true" for true."""
    if value is None:
        return True
    if isinstance(field, serializers.CharField):
        return isinstance(value, str)
    if isinstance(field, serializers.BooleanField):
        return isinstance(value, bool)
    if isinstance(field, serializers.IntegerField):
        return not isinstance(value, bool | str)
    return True


class Nothing(Body):
    """A body with nothing in it."""


class Query(serializers.Serializer[Any]):
    """The parameters of a query. What we do not know is passed over."""
