"""How OpenAPI writes what serializers refuse: read off the fields that refuse it, so that both say the same."""

from typing import Any

from django.core.validators import RegexValidator
from drf_spectacular.extensions import OpenApiSerializerExtension, OpenApiSerializerFieldExtension

# PostgreSQL keeps no NUL.
_WITHOUT_NUL = {"not": {"type": "string", "pattern": r"\u0000"}}
_NOT_BLANK = {"minLength": 1, "pattern": r"\S"}


class BodyMapping(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """Fields that we do not know are refused."""

    target_class = "tokenhub.api.fields.Body"
    match_subclasses = True

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        schema = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        return {**schema, "additionalProperties": False}


class TextMapping(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """Strings that are sent have no NUL, and are not blank where the field does not allow it."""

    target_class = "rest_framework.serializers.CharField"
    match_subclasses = True

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        schema: dict[str, Any] = auto_schema._map_serializer_field(
            self.target, direction, bypass_extensions=True
        )
        schema["type"] = "string"  # whoever asked adds null, which is in it once already
        if direction != "request":
            return schema
        # A pattern of its own says more, and is put in later.
        has_pattern = any(isinstance(each, RegexValidator) for each in self.target.validators)
        blank = {} if has_pattern or self.target.allow_blank else _NOT_BLANK
        return {**schema, **blank, **_WITHOUT_NUL}


class UsdAmountMapping(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """Amounts are decimal strings, and more than nothing."""

    target_class = "tokenhub.api.fields.UsdAmount"
    match_subclasses = True

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        return {
            "type": "string", "pattern": f"^{self.target.pattern}$", "example": "25.00",
            "not": {"type": "string", "pattern": "^[0.]+$"},
        }  # fmt: skip
