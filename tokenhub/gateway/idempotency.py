"""``Idempotency-Key`` on calls of models: one key and body, one charge, however often and wherever it is sent.

A key is claimed in the database before anything is sent to a provider, and a result is charged only while its
request still has the claim (``billing/sql/0018``). So it does not matter for the money whether a gateway that
seems dead is: of two requests with one key, one at most is ever charged. An answer that was given whole is
repeated for a while: it is kept in Redis, encrypted with the caller's own secret, which we do not have.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import uuid
from collections.abc import Sequence

import msgspec
import structlog
from cryptography.fernet import Fernet, InvalidToken

from keys import secrets
from tokenhub.gateway.database import DatabaseAway, Link
from tokenhub.gateway.directory import Caller
from tokenhub.gateway.errors import (
    CannotBill,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    IdempotencyReplayed,
    InvalidRequest,
)
from tokenhub.gateway.redis import Redis, quietly

log = structlog.get_logger(__name__)

HEADER = "Idempotency-Key"
MAX_KEY = 255
KEPT_S = 600
MAX_KEPT_BYTES = 1024 * 1024
# One that is just ending, or was just answered, is waited for: most repetitions find their answer so.
WAITS_S = (0.05, 0.1, 0.2, 0.4)
END_WITHIN_S = 3.0
_MINE, _BUSY, _DONE = "mine", "busy", "done"


class Kept(msgspec.Struct, frozen=True):
    """An answer as it was given."""

    headers: dict[str, str]
    body: bytes


class AnsweredBefore(Exception):
    """The request was answered before; here is the answer."""

    def __init__(self, request_id: uuid.UUID, kept: Kept) -> None:
        super().__init__(request_id)
        self.request_id = request_id
        self.kept = kept


def check_key(value: bytes) -> None:
    """``InvalidRequest`` for what cannot be a key."""
    if not 0 < len(value) <= MAX_KEY or any(not 0x20 <= byte <= 0x7E for byte in value):
        raise InvalidRequest(
            f"{HEADER} must be 1 to {MAX_KEY} printable ASCII characters.", param=HEADER
        )


class Claims:
    """Keys of requests that are under way in this process."""

    def __init__(self, link: Link, redis: Redis, encryption_keys: Sequence[str]) -> None:
        # The link's name is this process's alone: by it the database knows whether a claim's holder lives.
        self._link = link
        self._redis = redis
        self._peppers = secrets.peppers(encryption_keys)
        self._open: set[uuid.UUID] = set()
        self._over: set[uuid.UUID] = set()

    async def take(
        self, caller: Caller, secret: str, key: bytes, path: str, content: bytes, request: uuid.UUID
    ) -> None:
        """The request goes on under its key; where it may not, an error says why.

        Raises ``AnsweredBefore`` where its answer is still kept.
        """
        label = b"idempotency\x00" + path.encode() + b"\x00" + content
        arguments = (
            caller.organization_id,
            hashlib.sha256(key).digest(),
            [hmac.digest(pepper, label, "sha256") for pepper in self._peppers],
            request,
        )
        try:
            outcome, holder = await self._ask(arguments)
        except BaseException:
            self._over.add(request)  # it may have got the key all the same
            raise
        if outcome == _MINE:
            self._open.add(request)
            return
        public_id = f"req_{holder.hex}"
        if outcome == _BUSY:
            raise IdempotencyInProgress(public_id)
        if outcome != _DONE:
            raise IdempotencyKeyReused(public_id)
        kept = await self._kept(secret, holder)
        if kept is not None:
            raise AnsweredBefore(holder, kept)
        raise IdempotencyReplayed(
            public_id, **({"task_id": f"task_{holder.hex}"} if "/video" in path else {})
        )

    async def end(self, request: uuid.UUID, secret: str, answer: Kept | None) -> None:
        """The request is over, well or not; ``answer`` is what its client was given whole."""
        if answer is not None and len(answer.body) <= MAX_KEPT_BYTES:
            sealed = _box(secret, request).encrypt(msgspec.msgpack.encode(answer))
            await quietly(self._redis.call(b"SET", _name(request), sealed, b"EX", b"%d" % KEPT_S))
        self._open.discard(request)
        self._over.add(request)
        # Where the database is away, the housekeeping says it again.
        with contextlib.suppress(DatabaseAway, TimeoutError):
            async with asyncio.timeout(END_WITHIN_S):
                await self.keep()

    async def keep(self) -> None:
        """Say which requests are over; while some are under way, also that this process lives."""
        over = set(self._over)
        if over or self._open:
            await self._link.fetch("SELECT billing_end_claims(%s::uuid[])", (list(over),))
            self._over -= over

    async def _ask(self, arguments: tuple[object, ...]) -> tuple[str, uuid.UUID]:
        for wait_s in (*WAITS_S, None):
            try:
                rows = await self._link.fetch(
                    "SELECT outcome, request FROM billing_claim_key(%s, %s, %s::bytea[], %s)",
                    arguments,
                )
            except DatabaseAway:
                raise CannotBill() from None
            outcome, holder = rows[0]
            if outcome != _BUSY or wait_s is None:
                break
            await asyncio.sleep(wait_s)
        return outcome, holder

    async def _kept(self, secret: str, request: uuid.UUID) -> Kept | None:
        sealed = await quietly(self._redis.call(b"GET", _name(request)))
        if sealed is None:
            return None
        try:
            plain = _box(secret, request).decrypt(sealed)
        except InvalidToken:
            return None  # another key of the organization's, that must not read it
        return msgspec.msgpack.decode(plain, type=Kept)


def _name(request: uuid.UUID) -> bytes:
    return b"tokenhub:answer:" + request.hex.encode()


def _box(secret: str, request: uuid.UUID) -> Fernet:
    """What only the caller's secret opens: the platform keeps no more of it than a digest."""
    key = hashlib.blake2b(
        secret.encode(), salt=request.bytes, person=b"kept-answer", digest_size=32
    )
    return Fernet(base64.urlsafe_b64encode(key.digest()))
