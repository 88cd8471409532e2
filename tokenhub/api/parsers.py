"""JSON bodies, strictly: UTF-8, no NaN, no half characters, of bounded size and depth."""

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
        body = stream.read(MAX_BYTES + 1)
        if len(body) > MAX_BYTES:
            raise Problem(413, "request_too_large", "A body has at most 1 MiB.")
        try:
            value = json.loads(body.decode(), parse_constant=_refuse)
            # Half a surrogate pair is a string that nothing could store or send on.
            json.dumps(value, ensure_ascii=False).encode()
        except (ValueError, RecursionError):
            raise ParseError("The body must be JSON in UTF-8.") from None
        return value


def _refuse(constant: str) -> None:
    raise ValueError(constant)
