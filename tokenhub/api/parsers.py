"""JSON bodies, strictly: UTF-8, no NaN, no half characters, no name twice, of bounded size and depth."""

import json
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from tokenhub.api.problems import Problem

MAX_BYTES = 1_048_576


class Json(BaseParser):
    """``application/json``."""

    media_type = "application/json"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:  # fmt: skip
        headers = parser_context["request"].headers if parser_context else {}
        # Nothing is unpacked, so that no bomb can go off; the gateway says the same.
        if headers.get("Content-Encoding", "").strip().lower() not in ("", "identity"):
            raise Problem(
                415, "unsupported_media_type", "Send the body without compression.",
                headers={"Accept-Encoding": "identity"},
            )  # fmt: skip
        body = stream.read(MAX_BYTES + 1)
        if len(body) > MAX_BYTES:
            raise Problem(413, "request_too_large", "A body has at most 1 MiB.")
        try:
            value = json.loads(body.decode(), parse_constant=_refuse, object_pairs_hook=_object)
            # Half a surrogate pair is a string that nothing could store or send on; 1e400 is read as infinity.
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        except (ValueError, RecursionError):
            raise ParseError("The body must be JSON in UTF-8.") from None
        return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in pairs:
        if name in made:
            # Readers differ in which one counts, and so may who looked at the body on the way.
            raise ParseError(f"“{name[:100]}” is twice in one object. Send it once.")
        made[name] = value
    return made


def _refuse(constant: str) -> None:
    raise ValueError(constant)
