"""A text column that is encrypted at rest with the keys of ``FIELD_ENCRYPTION_KEYS``."""

from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings
from django.db import models


@lru_cache(maxsize=4)
def _cipher(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def cipher() -> MultiFernet:
    """Encrypts with the first key of the settings and decrypts with any of them."""
    return _cipher(tuple(settings.FIELD_ENCRYPTION_KEYS))


def is_token(stored: str) -> bool:
    """Whether this is what ``cipher`` makes: version 0x80 and a time before 2106, in Base64 (Fernet's format)."""
    return stored.startswith("gAAAA")


class EncryptedTextField(models.TextField):  # type: ignore[type-arg]
    """Plain text in Python, a Fernet token in the database. It cannot be searched."""

    def from_db_value(self, value: str | None, *_: Any) -> str | None:
        return value and cipher().decrypt(value.encode()).decode()

    def get_prep_value(self, value: str | None) -> str | None:
        return value and cipher().encrypt(value.encode()).decode()
