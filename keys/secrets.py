"""The secret of an API key: how it is made, recognised and digested. Nothing here touches the database.

``thk_`` (inference) or ``thm_`` (management), 43 base-62 digits of 256 random bits, and six of their
CRC-32, so that a scanner can tell a leaked key from noise without asking us.
"""

import hashlib
import hmac
import os
import zlib
from collections.abc import Sequence

PREFIXES = {"inference": "thk_", "management": "thm_"}
_KINDS = {prefix: kind for kind, prefix in PREFIXES.items()}
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DIGITS = frozenset(_ALPHABET)
_RANDOM_DIGITS = 43  # 62**43 > 2**256
_CHECK_DIGITS = 6  # 62**6 > 2**32
LENGTH = 4 + _RANDOM_DIGITS + _CHECK_DIGITS


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECK_DIGITS)


def new_secret(kind: str) -> str:
    """A fresh secret of 256 random bits for a kind of key."""
    body = PREFIXES[kind] + _base62(int.from_bytes(os.urandom(32)), _RANDOM_DIGITS)
    return body + _checksum(body)


def derived_secret(kind: str, identity: str, encryption_key: str) -> str:
    """The secret that belongs to an identity: whoever holds the settings can say it again, nobody else.

    It is for the platform's own use. Nothing of it is stored, and the identity is no secret.
    """
    root = hashlib.blake2b(encryption_key.encode(), person=b"derived-api-key", digest_size=32)
    number = int.from_bytes(hmac.digest(root.digest(), identity.encode(), "sha256"))
    body = PREFIXES[kind] + _base62(number, _RANDOM_DIGITS)
    return body + _checksum(body)


def kind_of(secret: str) -> str | None:
    """The kind a well-formed secret says it is of; ``None`` for anything that cannot be a key of ours."""
    kind = _KINDS.get(secret[:4])
    if kind is None or len(secret) != LENGTH or not _DIGITS.issuperset(secret[4:]):
        return None
    return kind if secret.endswith(_checksum(secret[:-_CHECK_DIGITS])) else None


def peppers(encryption_keys: Sequence[str]) -> list[bytes]:
    """The digest keys, current one first, derived from the settings' ``FIELD_ENCRYPTION_KEYS``."""
    return [
        hashlib.blake2b(key.encode(), person=b"api-key-digest", digest_size=32).digest()
        for key in encryption_keys
    ]


def digest(secret: str, pepper: bytes) -> bytes:
    """HMAC-SHA256 of a secret: worthless to whoever reads the database without the settings."""
    return hmac.digest(pepper, secret.encode(), "sha256")
