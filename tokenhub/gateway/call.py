"""The HTTP edge of ``/v1``: one request from its headers to the last byte of its answer.

An endpoint is a function of a ``Call``: it authenticates, reads the body, and responds or streams.
"""

import asyncio
import hashlib
import time
import uuid
from collections.abc import AsyncIterator, Callable
from functools import partial

from accounts.ids import uuid7
from tokenhub.gateway import directory
from tokenhub.gateway.directory import Caller
from tokenhub.gateway.edge import Edge, Leaving
from tokenhub.gateway.errors import (
    ErrorShape,
    GatewayError,
    InvalidApiKey,
    InvalidRequest,
    RequestTooLarge,
    UnsupportedMediaType,
    openai_shape,
)
from tokenhub.gateway.idempotency import AnsweredBefore, Kept, check_key
from tokenhub.gateway.limits.shared import Admission
from tokenhub.gateway.media.forms import Form, read_form
from tokenhub.gateway.runtime import Runtime

MAX_BODY_BYTES = 32 * 1024 * 1024
MAX_SESSION_ID = 200
JSON = b"application/json"
EVENT_STREAM = {"content-type": "text/event-stream", "cache-control": "no-cache"}
COMMENT = b": keep-alive\n\n"


class Call:
    """One HTTP request."""

    def __init__(self, runtime: Runtime, edge: Edge) -> None:
        self.runtime = runtime
        self.request_id: uuid.UUID = uuid7()
        self.tail = ""
        """What follows the prefix of a route that has one: the name of a model, the id of a task."""
        self.error_shape: ErrorShape = openai_shape
        self._edge = edge
        self._headers = edge.headers
        self._started = False
        self.status = 0
        """Of the answer that was begun; 0 before."""
        self._ended = False
        self._fault: Callable[[GatewayError], bytes] | None = None
        self._spoke_s = 0.0
        self._silence: asyncio.TimerHandle | None = None
        self._comment: asyncio.Task[None] | None = None
        self._caller: Caller | None = None
        self._admission: Admission | None = None
        self._limit_headers: dict[str, str] = {}
        self._key = self._headers.get(b"idempotency-key")
        self._content = b""
        self._claimed_by = ""
        self._answer: Kept | None = None

    @property
    def public_id(self) -> str:
        """The id the client sees."""
        return f"req_{self.request_id.hex}"

    def names(self) -> dict[str, str]:
        """What the log and traces call it: its id and, once it is known, the organization's."""
        names = {"request_id": self.public_id}
        if self._caller is not None:
            names["organization"] = "org_" + self._caller.organization_id.replace("-", "")
        return names

    def header(self, name: bytes, default: bytes = b"") -> bytes:
        """A header by its lower-case name."""
        return self._headers.get(name, default)

    @property
    def query(self) -> bytes:
        """The query string as it came."""
        return self._edge.query

    # authenticate

    async def authenticate(self, *, count: bool) -> tuple[Caller, str]:
        """Whose call it is and the key presented; ``count`` takes it off the requests per minute."""
        secret = self._presented()
        address = self._edge.address
        runtime = self.runtime
        caller = runtime.directory.cached(secret) or await runtime.caller(secret, address)
        directory.check(caller, address, time.monotonic())
        runtime.used(caller)
        self._caller = caller
        if count:
            # Counted against what the plan and the key allow in a minute and at the same time.
            self._admission = admission = runtime.limits.ask(caller)
            allowance, refusal = await admission.verdict()
            self._limit_headers = allowance.headers()
            if refusal is not None:
                raise refusal
        return caller, secret

    def under_way(self, caller: Caller) -> Admission:
        """What is inside is the request that ``authenticate`` counted as under way."""
        assert self._admission is not None, "authenticate counts it"
        return self._admission

    def leave(self) -> None:
        """The request is under way no more. Leaving twice is leaving once."""
        if self._admission is not None:
            self._admission.leave()

    def session_id(self) -> str:
        """The conversation's name as the client gave it, or empty."""
        value = self._headers.get(b"x-session-id", b"")
        if len(value) > MAX_SESSION_ID:
            raise InvalidRequest(f"X-Session-Id has at most {MAX_SESSION_ID} characters.")
        return value.decode("latin-1")

    def _presented(self) -> str:
        bearer = self._headers.get(b"authorization", b"")
        secret = bearer[7:] if bearer[:7].lower() == b"bearer " else b""
        secret = secret or self._headers.get(b"x-api-key", b"")
        try:
            return secret.strip().decode("ascii")
        except UnicodeDecodeError:
            raise InvalidApiKey("The API key has characters that no key of ours has.") from None

    # read

    async def read_json(self) -> bytes:
        """The whole body of a request that must be JSON."""
        content_type = self._headers.get(b"content-type", JSON)
        if content_type != JSON and content_type.split(b";")[0].strip().lower() != JSON:
            raise UnsupportedMediaType("Send JSON, with “Content-Type: application/json”.")
        self._uncompressed()
        body, more = await self._edge.receive()
        if more:
            rest = [piece async for piece in self.pieces(MAX_BODY_BYTES, len(body))]
            body = b"".join([body, *rest])
        if self._key is not None:
            self._content = hashlib.sha256(body).digest()
        return body

    async def read_form(self, limit_bytes: int) -> Form:
        """The whole body of a request that must be a form."""
        form = await read_form(self.pieces(limit_bytes), self.header(b"content-type"))
        if self._key is not None:
            self._content = form.digest()
        return form

    def _uncompressed(self) -> None:
        if self._headers.get(b"content-encoding", b"identity") != b"identity":
            raise UnsupportedMediaType("Send the body without compression.")

    async def pieces(self, limit_bytes: int, size: int = 0) -> AsyncIterator[bytes]:
        """The body as it arrives, after its first ``size`` bytes.

        ``RequestTooLarge`` where it has more than ``limit_bytes``.
        """
        self._uncompressed()
        while True:
            piece, more = await self._edge.receive()
            size += len(piece)
            if size > limit_bytes:
                raise RequestTooLarge(
                    f"The body has more than {limit_bytes // 2**20} MiB.",
                    headers={"connection": "close"},
                )
            yield piece
            if not more:
                return

    # once per Idempotency-Key

    async def claim(self, caller: Caller, secret: str) -> bool:
        """Go on as the one request of the client's ``Idempotency-Key``; false where it gave none.

        Comes after the body was read and before anything is sent. Raises what ``Claims.take`` raises.
        """
        if self._key is None:
            return False
        check_key(self._key)
        await self.runtime.claims.take(
            caller,
            secret,
            self._key,
            self._edge.path.rstrip("/"),
            self._content,
            self.request_id,
        )
        self._claimed_by = secret
        return True

    async def end_claim(self) -> None:
        """The request is over: what it answered whole is kept for its repetition, or its key is free again."""
        if self._claimed_by:
            await self.runtime.claims.end(self.request_id, self._claimed_by, self._answer)

    async def repeat(self, before: AnsweredBefore) -> None:
        """Answer as was answered before, under the same id."""
        self.request_id = before.request_id
        await self.respond(
            200, {**before.kept.headers, "idempotent-replayed": "true"}, before.kept.body
        )

    # answer

    async def respond(
        self, status: int, headers: dict[str, str], body: bytes, *, slot: int = -1
    ) -> None:
        """Answer whole. ``slot`` is the journal's of a result that is paid for by this answer."""
        if self._claimed_by and status == 200:
            self._answer = Kept(headers, body)
        headers = {
            "content-type": "application/json",
            "content-length": str(len(body)),
            **headers,
        }
        await self._edge.whole(status, self._head(status, headers), body, self._leaving(slot))

    async def stream(
        self, headers: dict[str, str], frames: AsyncIterator[bytes], ends: Callable[[], int]
    ) -> None:
        """Answer with server-sent events as they come.

        ``ends()`` is the journal's slot once the next frame is the end of a result that is paid
        for, and -1 before. A client that hangs up does not stop the frames: what completes is billed.
        """
        if not self._started:
            await self._start(200, {**headers, **EVENT_STREAM})
        async for frame in frames:
            slot = -1 if self._ended else ends()
            if slot >= 0:
                self._ended = True
                await self._edge.write(frame, more=False, leaving=self._leaving(slot))
            else:
                await self._edge.write(frame, more=True)
                self._spoke_s = time.monotonic()
        if not self._ended:
            self._ended = True
            await self._edge.write(b"", more=False)

    def keep_alive(self, fault: Callable[[GatewayError], bytes]) -> None:
        """A stream is coming: from now on its client hears something every few seconds.

        Where nothing has come in that time, the answer begins with a comment, as a stream; from then
        on an error cannot be a status any more and is what ``fault`` makes of it.
        """
        self._fault = fault
        self._spoke_s = time.monotonic()
        self._listen(self.runtime.config.keep_alive_s)

    def close(self) -> None:
        """The call is over, however it ended."""
        self._ended = True
        if self._silence is not None:
            self._silence.cancel()

    def _listen(self, for_s: float) -> None:
        self._silence = asyncio.get_running_loop().call_later(for_s, self._silent)

    def _silent(self) -> None:
        left_s = self._spoke_s + self.runtime.config.keep_alive_s - time.monotonic()
        if left_s > 0:
            self._listen(left_s)
        elif not self._ended:
            self._comment = asyncio.create_task(self._say_something(), name="keep-alive")

    async def _say_something(self) -> None:
        if not self._started:
            await self._start(200, EVENT_STREAM)
        # A client that does not read what it has got needs no more.
        if not self._edge.backlog:
            await self._edge.write(COMMENT, more=True)
        self._spoke_s = time.monotonic()
        if not self._ended:
            self._listen(self.runtime.config.keep_alive_s)

    async def pass_on(
        self, headers: dict[str, str], chunks: AsyncIterator[bytes], status: int = 200
    ) -> None:
        """Answer with bytes as they come; where they break off, so does the connection."""
        await self._start(status, headers)
        if self._edge.method != "HEAD":
            async for chunk in chunks:
                await self._edge.write(chunk, more=True)
        await self._edge.write(b"", more=False)

    async def refuse(self, error: GatewayError) -> None:
        """Answer with an error, as far as an answer has not begun; in a stream, by the protocol's fault."""
        if self._started:
            if self._fault is not None and not self._ended:
                self._ended = True
                await self._edge.write(self._fault(error), more=False)
            return
        headers = dict(error.headers)
        if error.should_retry is not None:
            headers["x-should-retry"] = "true" if error.should_retry else "false"
        await self.respond(error.status, headers, self.error_shape(error, self.public_id))

    def _leaving(self, slot: int) -> Leaving | None:
        """The journal forgets a slot right before the kernel gets what it pays for."""
        return partial(self.runtime.journal.done, slot) if slot >= 0 else None

    async def _start(self, status: int, headers: dict[str, str]) -> None:
        await self._edge.begin(status, self._head(status, headers))

    def _head(self, status: int, headers: dict[str, str]) -> dict[str, str]:
        self._started = True
        self.status = status
        public_id = self.public_id
        return {
            "x-request-id": public_id,
            "request-id": public_id,
            **self._limit_headers,
            **headers,
        }
