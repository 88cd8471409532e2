"""Links to results: addresses of ours that stream a picture or a video through the gateway for an hour.

A link is sealed: it holds where the result is, and nobody but a gateway can read or make one. So a browser
can open it without a key, no provider's address is told, and nothing has to be kept (docs/decisions/0008).
"""

import base64
import hashlib
from collections.abc import Sequence
from uuid import UUID

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

PATH = "/v1/media/"
LIVES_S = 3_600
_PURPOSE = b"media-links"


class PictureLink(msgspec.Struct, tag="p", array_like=True):
    """A picture at its provider's storage."""

    url: str


class VideoLink(msgspec.Struct, tag="v", array_like=True):
    """The result of a task."""

    task: UUID
    organization: UUID


Target = PictureLink | VideoLink
_decoder = msgspec.msgpack.Decoder(Target)


class Links:
    """Makes links and opens them; every process with the same keys opens those of every other."""

    def __init__(self, encryption_keys: Sequence[str], public_url: str) -> None:
        self._base = public_url.rstrip("/") + PATH
        self._box = MultiFernet([Fernet(_derived(key)) for key in encryption_keys])

    def picture(self, url: str) -> str:
        """A link to a picture that is at ``url``."""
        return self._seal(PictureLink(url))

    def video(self, task: UUID, organization: UUID) -> str:
        """A link to the result of an organization's task."""
        return self._seal(VideoLink(task, organization))

    def open(self, token: str) -> Target | None:
        """Where a link leads; ``None`` for what is no link of ours, or not any more."""
        try:
            target: Target = _decoder.decode(self._box.decrypt(token.encode(), ttl=LIVES_S))
        except (InvalidToken, msgspec.DecodeError, UnicodeEncodeError):
            return None
        return target

    def _seal(self, target: Target) -> str:
        return self._base + self._box.encrypt(msgspec.msgpack.encode(target)).decode()


def links() -> Links:
    """Those of the settings, for pages."""
    return Links(settings.FIELD_ENCRYPTION_KEYS, settings.PUBLIC_URL)


def _derived(key: str) -> bytes:
    digest = hashlib.blake2b(key.encode(), person=_PURPOSE, digest_size=32).digest()
    return base64.urlsafe_b64encode(digest)
