"""Public identifiers: a prefix that names the kind, and a time-ordered UUID.

``key_018f6b1c…``: the database stores the 16 bytes, people and programs see the prefixed text.
"""

import os
import struct
import time
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

# Asked of the kernel 512 at a time: a call for each costs more than all else about an identifier.
_WORDS = struct.Struct("512Q")
_words: Iterator[int] = iter(())


def uuid7() -> uuid.UUID:
    """A UUID version 7 (RFC 9562 §5.7): 48 bits of Unix milliseconds, 12 of their fraction, 62 random ones.

    The fraction (§6.2, method 3) keeps what one process makes in the same millisecond in order.
    """
    ms, rest_ns = divmod(time.time_ns(), 1_000_000)
    fraction = (rest_ns << 12) // 1_000_000
    random = _random_word() >> 2
    return uuid.UUID(int=ms << 80 | 0x7 << 76 | fraction << 64 | 0x2 << 62 | random)


def first_uuid7(at: datetime) -> uuid.UUID:
    """The smallest UUID version 7 of an instant, as ``billing_uuid_at`` is in the database."""
    return uuid.UUID(int=int(at.timestamp() * 1000) << 80)


def _random_word() -> int:
    """64 random bits that nobody else gets: taking one off the iterator is one step, also for threads."""
    global _words
    while True:
        for word in _words:
            return word
        _words = iter(_WORDS.unpack(os.urandom(_WORDS.size)))


def _forget_words() -> None:
    global _words
    _words = iter(())


# A child would make its parent's identifiers.
os.register_at_fork(after_in_child=_forget_words)


class PrefixedIdField(models.UUIDField):  # type: ignore[type-arg]
    """A primary key that is a UUID in the database and ``<prefix>_<32 hex digits>`` everywhere else."""

    def __init__(self, prefix: str = "", **kwargs: Any) -> None:
        self.prefix = prefix
        kwargs.setdefault("primary_key", True)
        kwargs.setdefault("editable", False)
        kwargs.setdefault("default", self.new)
        super().__init__(**kwargs)

    def new(self) -> str:
        """A fresh identifier."""
        return f"{self.prefix}_{uuid7().hex}"

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        kwargs["prefix"] = self.prefix
        kwargs.pop("default", None)
        return name, path, args, kwargs

    def to_python(self, value: Any) -> str | None:
        if value is None:
            return None
        if isinstance(value, uuid.UUID):
            return f"{self.prefix}_{value.hex}"
        text = str(value).removeprefix(f"{self.prefix}_")
        try:
            return f"{self.prefix}_{uuid.UUID(hex=text).hex}"
        except ValueError:
            raise ValidationError(f"“{value}” is not an identifier of this kind.") from None

    def from_db_value(self, value: uuid.UUID | None, *_: Any) -> str | None:
        return None if value is None else f"{self.prefix}_{value.hex}"

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        if isinstance(value, str):
            text = value.removeprefix(f"{self.prefix}_")
            try:
                value = uuid.UUID(hex=text)
            except ValueError:
                raise ValidationError(f"“{text}” is not an identifier of this kind.") from None
        return value
