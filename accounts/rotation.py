"""Encrypting anew, with the current key, what earlier keys of ``FIELD_ENCRYPTION_KEYS`` encrypted."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.mfa.utils import decrypt, encrypt
from cryptography.fernet import Fernet, InvalidToken
from django.apps import apps
from django.conf import settings
from django.db import models, transaction
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

from accounts.encryption import EncryptedTextField


@dataclass(frozen=True, slots=True)
class Column:
    """One encrypted column."""

    model: type[models.Model]
    name: str

    def __str__(self) -> str:
        return f"{self.model._meta.label}.{self.name}"

    def stored(self) -> Any:
        """What is in the database, as it is."""
        return Cast(self.name, models.TextField())

    def write(self, pk: Any, text: str) -> int:
        """Plain text: the field encrypts it, with the first key."""
        return self.model._default_manager.filter(pk=pk).update(**{self.name: text})


@dataclass(frozen=True, slots=True)
class Seed:
    """One encrypted value in the JSON of people's second factors."""

    name: str
    model: type[models.Model] = Authenticator

    def __str__(self) -> str:
        return f"{self.model._meta.label}.{self.name}"

    def stored(self) -> Any:
        """What is in the database, as it is."""
        return KeyTextTransform(self.name, "data")

    def write(self, pk: Any, text: str) -> int:
        """The factor is locked by the caller."""
        factor = Authenticator.objects.get(pk=pk)
        factor.data[self.name] = encrypt(text)
        factor.save(update_fields=["data"])
        return 1


def columns() -> Iterator[Column | Seed]:
    """Everything that is encrypted, of every app."""
    for model in apps.get_models():
        for field in model._meta.fields:
            if isinstance(field, EncryptedTextField):
                yield Column(model, field.name)
    yield from (Seed("secret"), Seed("seed"))


def stale(column: Column | Seed) -> list[Any]:
    """The ids of the rows that the current key alone cannot read."""
    current = Fernet(settings.FIELD_ENCRYPTION_KEYS[0])
    return [pk for pk, token in _tokens(column) if not _reads(current, token)]


def encrypt_anew(column: Column | Seed) -> int:
    """Bring a column to the current key, a row at a time; how many rows were changed.

    Safe while everything runs: a row that is changed meanwhile is encrypted with the current key already.
    """
    done = 0
    for pk in stale(column):
        with transaction.atomic():
            rows = column.model._default_manager.select_for_update().filter(pk=pk)
            for _, token in _tokens(column, rows):
                done += column.write(pk, decrypt(token))
    return done


def _tokens(column: Column | Seed, rows: Any = None) -> Iterator[tuple[Any, str]]:
    """Id and stored text of the rows that have one."""
    if rows is None:
        rows = column.model._default_manager.all()
    stored = rows.annotate(_stored=column.stored())
    for pk, token in stored.values_list("pk", "_stored"):
        if token:
            yield pk, token


def _reads(key: Fernet, token: str) -> bool:
    try:
        key.decrypt(token.encode())
    except InvalidToken:
        return False
    return True
