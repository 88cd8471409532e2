"""Probes: whether each offering answers, asked by the cheapest real request its dialect has.

It costs us at most one token and customers nothing. OpenAI: the list of models, or one token where a
provider has none. Anthropic: counting the tokens of a word by the very model. DashScope: a task that
does not exist. The exchange is the gateway's own client: bounded, deadlines, no redirects.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec
from django.db import connection

from routing.credentials import Refusal, record
from routing.health import Seen, Source, Target, claim_due, observe
from tokenhub.gateway.dialects.upstream import anthropic, openai
from tokenhub.gateway.keyring import LIMITED, MOST_TRIED, REFUSED
from tokenhub.gateway.upstream import Client, Origin, UpstreamError

TIMEOUT_S = 5.0
AT_ONCE = 16
# The provider does not know the request: it answers, but another one must say whether it works.
UNKNOWN_REQUEST = frozenset({404, 405, 501})
NO_SUCH_TASK = "/tasks/tokenhub-probe"
_LOCK = "tokenhub.probes"

Valid = Callable[[dict[str, Any]], bool]


def probe_due() -> dict[int, Seen]:
    """Probe what is due, and put on record how it went. One run at a time, whoever calls."""
    with _alone() as alone:
        if not alone:
            return {}
        return probe_now(claim_due())


def probe_now(targets: list[Target]) -> dict[int, Seen]:
    """Probe these offerings, due or not, and put on record how it went."""
    told: list[Refusal] = []
    found = asyncio.run(_probe_all(targets, told))
    observe(found, source=Source.PROBE)
    record(told)
    return found


@contextmanager
def _alone() -> Iterator[bool]:
    """Whether nobody else probes: slow providers must not take every worker's time."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtext(%s))", [_LOCK])
        (alone,) = cursor.fetchone()
    try:
        yield alone
    finally:
        if alone:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(hashtext(%s))", [_LOCK])


async def _probe_all(targets: list[Target], told: list[Refusal]) -> dict[int, Seen]:
    client, turn = Client(), asyncio.Semaphore(AT_ONCE)

    async def one(target: Target) -> Seen:
        async with turn:
            return await probe(client, target, told)

    try:
        seen = await asyncio.gather(*(one(target) for target in targets))
    finally:
        client.close()
    return {target.offering: saw for target, saw in zip(targets, seen, strict=True)}


async def probe(client: Client, target: Target, told: list[Refusal]) -> Seen:
    """Ask one offering once; whatever happens is what was seen. Refused credentials are ``told``."""
    began_s = time.monotonic()
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await _ask_with_any(client, target, told)
    except TimeoutError:
        return Seen(failures=1, outcome="timeout")
    except (UpstreamError, ValueError) as error:
        return Seen(failures=1, outcome=getattr(error, "outcome", "invalid_address"))
    return Seen(successes=1, latency_ms=(int((time.monotonic() - began_s) * 1000),))


async def _ask_with_any(client: Client, target: Target, told: list[Refusal]) -> None:
    """Ask with one credential, and with the next where one is refused or limited."""
    for place, secret in enumerate(target.secrets[:MOST_TRIED], 1):
        try:
            await _ask(client, target, secret.value)
        except UpstreamError as error:
            status = int(error.outcome.removeprefix("http_")) if "http_" in error.outcome else 0
            if status in REFUSED:
                told.append(Refusal(target.endpoint, secret.fingerprint, status))
            last = place == min(MOST_TRIED, len(target.secrets))
            if last or status not in {*REFUSED, LIMITED}:
                raise
        else:
            if secret.alarmed:
                told.append(Refusal(target.endpoint, secret.fingerprint, None))
            return


async def _ask(client: Client, target: Target, credential: str) -> None:
    origin = Origin.parse(target.base_url)
    model = target.upstream_model
    if target.dialect == "dashscope":
        bearer = {"authorization": f"Bearer {credential}"}
        await _get(client, origin, NO_SUCH_TASK, bearer, _has_something, answers={404})
    elif target.dialect == "anthropic":
        headers = anthropic.headers(credential)
        words: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "Hi"}]}
        known = await _post(
            client, origin, "/messages/count_tokens", headers, words, _has("input_tokens")
        )
        if not known:
            words |= {"max_tokens": 1}
            if not await _post(client, origin, "/messages", headers, words, _has("content")):
                raise UpstreamError("http_404")
    else:
        headers = openai.headers(credential)
        known = await _get(client, origin, "/models", headers, _has("data"))
        if not known and target.modality in ("text", "embedding"):
            await _smallest(client, origin, headers, target)


async def _smallest(
    client: Client, origin: Origin, headers: Mapping[str, str], target: Target
) -> None:
    """One token, of a provider without a list of models."""
    body: dict[str, Any] = {"model": target.upstream_model, "input": "Hi"}
    path, valid = "/embeddings", _has("data")
    if target.modality == "text":
        messages = [{"role": "user", "content": "Hi"}]
        body = {"model": target.upstream_model, "max_tokens": 1, "messages": messages}
        path, valid = "/chat/completions", _has("choices")
    if not await _post(client, origin, path, headers, body, valid):
        raise UpstreamError("http_404")


def _has_something(answer: dict[str, Any]) -> bool:
    return bool(answer)


def _has(field: str) -> Valid:
    return lambda answer: field in answer


async def _get(
    client: Client,
    origin: Origin,
    path: str,
    headers: Mapping[str, str],
    valid: Valid,
    answers: set[int] | frozenset[int] = frozenset(),
) -> bool:
    response = await client.get(origin, path, headers, first_byte_timeout_s=TIMEOUT_S)
    async with response:
        body = await response.read(TIMEOUT_S)
    return _judge(response.status, body, valid, answers)


async def _post(
    client: Client,
    origin: Origin,
    path: str,
    headers: Mapping[str, str],
    body: dict[str, Any],
    valid: Valid,
) -> bool:
    response = await client.post(
        origin, path, headers, msgspec.json.encode(body), first_byte_timeout_s=TIMEOUT_S
    )
    async with response:
        answer = await response.read(TIMEOUT_S)
    return _judge(response.status, answer, valid, frozenset())


def _judge(status: int, body: bytes, valid: Valid, answers: set[int] | frozenset[int]) -> bool:
    """Whether the request is known there; ``UpstreamError`` where the answer is none."""
    if not 200 <= status < 300 and status not in answers:
        if status in UNKNOWN_REQUEST:
            return False
        raise UpstreamError(f"http_{status}")
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise UpstreamError("malformed") from None
    if not isinstance(answer, dict) or not valid(answer):
        raise UpstreamError("malformed")
    return True
