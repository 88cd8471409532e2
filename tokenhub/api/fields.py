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


class UsdAmount(serializers.Field[int, Any, str, int]):
    """An amount in USD that is sent to us: a decimal string, so that no float ever touches it. More than nothing."""

    pattern = r"[0-9]{1,7}(\.[0-9]{1,9})?"
    default_error_messages = {
        "invalid": "Write the amount as a string such as “25.00”.",
        "zero": "The amount must be greater than zero.",
    }

    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, str) or not re.fullmatch(self.pattern, data):
            self.fail("invalid")
        amount_nano = nano_from_usd(data)
        if amount_nano == 0:
            self.fail("zero")
        return amount_nano

    def to_representation(self, value: int) -> str:
        return usd_from_nano(value)


class UsdCents(UsdAmount):
    """An amount in whole cents: what a card can be charged."""

    pattern = r"[0-9]{1,7}(\.[0-9]{1,2}0{0,7})?"
    default_error_messages = {"invalid": "Write the amount as whole cents in a string: “25.00”."}


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


class Items(serializers.ListField):
    """A list. One that is too long is refused before its items are looked at, each of which could be an error."""

    def run_child_validation(self, data: Any) -> Any:
        if self.max_length is not None and len(data) > self.max_length:
            self.fail("max_length", max_length=self.max_length)
        return super().run_child_validation(data)


class Names(Items):
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
    if isinstance(field, serializers.MultipleChoiceField):
        return isinstance(value, list)
    if isinstance(field, serializers.IntegerField):
        return not isinstance(value, bool | str)
    return True


class Nothing(Body):
    """A body with nothing in it."""


class Query(serializers.Serializer[Any]):
    """The parameters of a query. What we do not know is passed over."""


class Number(serializers.IntegerField):
    """An integer in a query. DRF itself would take “1_0”, and the digits of any script."""

    def to_internal_value(self, data: Any) -> int:
        if not re.fullmatch("-?[0-9]+", str(data)):
            self.fail("invalid")
        return super().to_internal_value(data)
