"""The short way of calls of models: the same answers, refusals and bills as by the ASGI application, in order.

The first half boots uvicorn with our protocol around two stubs, one for each way: what these tests pin down is what
``gateway/protocol.py`` relies on in uvicorn. The second half asks a live gateway both ways.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn
import uvloop

from accounts.models import Organization
from billing.models import Usage
from tests import factories
from tests.live import Gateway
from tests.processes import eventually, free_port
from tokenhub.gateway.direct import MAX_BODY_BYTES
from tokenhub.gateway.edge import AsgiEdge, Edge, Receive, Scope, Send
from tokenhub.gateway.protocol import GATEWAY, GatewayProtocol

PATH = "/v1/chat/completions"


class Stub:
    """Answers every request with the way it came, its body's length and who asks; ``held`` ones wait."""

    def __init__(self) -> None:
        self.held = asyncio.Event()
        self.began: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            scope["state"][GATEWAY] = self
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        else:
            await self.answer("asgi", AsgiEdge(scope, receive, send))

    async def serve(self, edge: Edge) -> None:
        await self.answer("direct", edge)

    async def answer(self, way: str, edge: Edge) -> None:
        size, more = 0, True
        while more:
            piece, more = await edge.receive()
            size += len(piece)
        wish = edge.headers.get(b"x-wish", b"").decode()
        self.began.append(wish)
        if wish == "held":
            await self.held.wait()
        if wish == "stream":
            await edge.begin(200, {"x-way": way})
            for number in range(3):
                await edge.write(b"%d;" % number, more=True)
            await edge.write(b"end", more=False)
            return
        if wish == "fail":
            raise RuntimeError("a surprise")
        said = f"{way} {size} {edge.address} {edge.query.decode()}".encode()
        await edge.whole(200, {"x-way": way, "content-length": str(len(said))}, said)


Scenario = Callable[[Stub, int, uvicorn.Server], Awaitable[Any]]


def served(scenario: Scenario, run_in: Callable[..., Any] = asyncio.run) -> Any:
    """What a scenario gives, with the server running."""

    async def run() -> Any:
        stub, port = Stub(), free_port()
        server = uvicorn.Server(
            uvicorn.Config(
                stub, port=port, http=GatewayProtocol, ws="none", lifespan="on", log_config=None,
                server_header=False, date_header=False, timeout_graceful_shutdown=5,
                forwarded_allow_ips="127.0.0.1",
            )
        )  # fmt: skip
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        try:
            return await asyncio.wait_for(scenario(stub, port, server), 20)
        finally:
            stub.held.set()
            server.should_exit = True
            await task

    return run_in(run())


def request(
    body: bytes = b"{}", *more: str, path: str = PATH, method: str = "POST", version: str = "1.1"
) -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "host: x", f"content-length: {len(body)}", *more]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def exchange(port: int, sent: bytes, answers: int = 1) -> list[tuple[int, str, bytes]]:
    """Status, way and body of each answer on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    try:
        return [await answer(reader) for _ in range(answers)]
    finally:
        writer.close()


async def answer(reader: asyncio.StreamReader) -> tuple[int, str, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    way = re.search(r"x-way: (\w+)", head)
    length = re.search(r"content-length: (\d+)", head)
    if length is not None:
        body = await reader.readexactly(int(length[1]))
    else:
        body = b""
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
    return int(head.split()[1]), way[1] if way else "", body


@pytest.mark.parametrize(
    ("sent", "way"),
    [
        (request(), "direct"),
        (request(path="/v1/messages?beta=true"), "direct"),
        (request(b"x" * MAX_BODY_BYTES), "direct"),
        (request(b"x" * (MAX_BODY_BYTES + 1)), "asgi"),
        (request(path=PATH + "/"), "asgi"),
        (request(path="/v1/images/generations"), "asgi"),
        (request(b"", method="GET"), "asgi"),
        (request(version="1.0"), "direct"),
        (
            f"POST {PATH} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n".encode(),
            "asgi",
        ),
    ],
)
def test_what_is_small_and_whole_goes_the_short_way_and_nothing_else(sent: bytes, way: str) -> None:
    async def scenario(_stub: Stub, port: int, _server: uvicorn.Server) -> Any:
        return await exchange(port, sent)

    status, went, _ = served(scenario)[0]

    assert (status, went) == (200, way)


@pytest.mark.parametrize("offer", ["h2c", "websocket"])
@pytest.mark.parametrize("path", [PATH, "/other"])
def test_an_offer_of_another_protocol_is_ignored_and_its_body_is_no_request(
    path: str, offer: str
) -> None:
    hidden = request(b"", path="/hidden", method="GET")
    offers = [
        "connection: Upgrade, HTTP2-Settings",
        f"upgrade: {offer}",
        "http2-settings: AAMAAABk",
    ]
    whole = request(hidden, *offers, path=path)

    async def scenario(_stub: Stub, port: int, _server: uvicorn.Server) -> Any:
        at_once = await exchange(port, whole + request(b"next"), answers=2)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answers = []
        for _ in range(2):
            writer.write(whole[: -len(hidden)])
            await asyncio.sleep(0.05)
            writer.write(hidden)
            answers.append(await answer(reader))
        writer.write(b"CONNECT x:443 HTTP/1.1\r\nhost: x\r\n\r\n")
        return at_once, answers, await reader.read()

    at_once, answers, tunnel = served(scenario)

    size = str(len(hidden)).encode()
    assert [body.split()[1] for _, _, body in at_once] == [size, b"4"]
    assert [body.split()[1] for _, _, body in answers] == [size, size]
    assert tunnel.startswith(b"HTTP/1.1 400 ")
    assert re.search(rb"\r\nx-request-id: (req_[0-9a-f]{32})\r\nrequest-id: \1\r\n", tunnel)


@pytest.mark.parametrize("behind", [b"", request(b"2"), request(b"", path="/b", method="GET")])
@pytest.mark.parametrize("path", [PATH, "/other"])
def test_a_client_that_hangs_up_is_written_to_no_more_whatever_it_pipelined(
    path: str, behind: bytes
) -> None:
    async def scenario(stub: Stub, port: int, _server: uvicorn.Server) -> Any:
        written = 0

        async def pour(_way: str, edge: Edge) -> None:
            nonlocal written
            await edge.receive()
            await edge.begin(200, {"x-way": "either"})
            await stub.held.wait()
            for _ in range(5):
                await asyncio.sleep(0.02)
                await edge.write(b"x", more=True)
                written += 1

        stub.answer = pour  # type: ignore[assignment]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(b"1", path=path) + behind)
        await reader.readuntil(b"\r\n\r\n")
        writer.close()
        await asyncio.sleep(0.1)
        stub.held.set()
        await asyncio.sleep(0.5)
        return written

    # What completes is billed, and so its frames must be taken to their end; uvloop's transports object.
    assert served(scenario, uvloop.run) == 5


def test_a_client_that_waits_for_100_continue_gets_it() -> None:
    async def scenario(_stub: Stub, port: int, _server: uvicorn.Server) -> Any:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head, body = request(b"{}", "expect: 100-continue").split(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        told = await reader.readuntil(b"\r\n\r\n")
        writer.write(body)
        return told, await answer(reader)

    told, answered = served(scenario)

    assert b"100 Continue" in told
    assert answered[:2] == (200, "asgi")


def test_answers_leave_in_the_order_of_pipelined_requests() -> None:
    sent = [request(b"1"), request(b"22"), request(b"333", path="/other"), request(b"4444")]

    async def scenario(_stub: Stub, port: int, _server: uvicorn.Server) -> Any:
        return await exchange(port, b"".join(sent), answers=4)

    answers = served(scenario)

    assert [body.split()[1] for _, _, body in answers] == [b"1", b"2", b"3", b"4"]
    assert answers[0][1] == "direct"


def test_a_connection_serves_one_request_after_the_other_by_either_way() -> None:
    async def scenario(_stub: Stub, port: int, _server: uvicorn.Server) -> Any:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        ways = []
        for path in (PATH, "/other", PATH, PATH + "?a=b"):
            whole = request(b"{}", path=path)
            writer.write(whole[:40])  # a request may come in pieces
            await asyncio.sleep(0.01)
            writer.write(whole[40:])
            ways.append(await answer(reader))
        return ways

    answers = served(scenario)

    assert [way for _, way, _ in answers] == ["direct", "asgi", "direct", "direct"]
    assert answers[3][2] == b"direct 2 127.0.0.1 a=b"


def test_a_stream_is_chunked_and_what_fails_closes_the_connection() -> None:
    async def scenario(_stub: Stub, port: int, _server: uvicorn.Server) -> Any:
        streamed = await exchange(port, request(b"{}", "x-wish: stream"))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(b"{}", "x-wish: fail"))
        return streamed, await reader.read()

    streamed, failed = served(scenario)

    assert streamed == [(200, "direct", b"0;1;2;end")]
    assert failed == b""


@pytest.mark.parametrize("asked", ["x-more: 1", "connection: keep-alive"])
def test_to_a_client_of_http_1_0_the_end_of_the_connection_is_the_end(asked: str) -> None:
    async def scenario(_stub: Stub, port: int, _server: uvicorn.Server) -> Any:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(b"{}", "x-wish: stream", asked, version="1.0"))
        return await reader.read()

    head, _, body = served(scenario).partition(b"\r\n\r\n")

    assert body == b"0;1;2;end"
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head


def test_a_client_that_does_not_read_stops_the_stream_until_it_does() -> None:
    async def scenario(stub: Stub, port: int, _server: uvicorn.Server) -> Any:
        sent = 0

        async def pour(edge: Edge) -> None:
            nonlocal sent
            await edge.begin(200, {"x-way": "direct"})
            for _ in range(400):
                await edge.write(b"x" * 65_536, more=True)
                sent += 1
            await edge.write(b"", more=False)

        stub.serve = pour  # type: ignore[method-assign]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(request())
        before = -1
        while before != sent or not sent:
            before = sent
            await asyncio.sleep(0.3)
        _, _, body = await answer(reader)
        return before, len(body)

    written, received = served(scenario)

    assert written < 400
    assert received == 400 * 65_536


def test_an_address_behind_a_trusted_proxy_is_the_clients() -> None:
    async def scenario(_stub: Stub, port: int, _server: uvicorn.Server) -> Any:
        more = "x-forwarded-for: 203.0.113.9"
        return [
            (await exchange(port, request(b"{}", more, path=path)))[0] for path in (PATH, "/other")
        ]

    direct, asgi = served(scenario)

    assert direct[2] == b"direct 2 203.0.113.9 "
    assert asgi[2] == b"asgi 2 203.0.113.9 "


def test_a_shutdown_waits_for_what_is_under_way_and_keeps_no_connection() -> None:
    async def scenario(stub: Stub, port: int, server: uvicorn.Server) -> Any:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(b"{}", "x-wish: held"))
        _, gone = await asyncio.open_connection("127.0.0.1", port)
        gone.write(request(b"{}", "x-wish: held"))
        while len(stub.began) < 2:
            await asyncio.sleep(0.01)
        gone.close()  # its client has left, and it is finished all the same
        server.should_exit = True
        await asyncio.sleep(0.5)
        waited = len(server.server_state.tasks)
        stub.held.set()
        return waited, await answer(reader), await reader.read()

    waited, answered, rest = served(scenario)

    assert waited == 2
    assert answered[:2] == (200, "direct")
    assert rest == b""


def test_a_body_that_does_not_come_closes_the_connection(monkeypatch: Any) -> None:
    monkeypatch.setattr("tokenhub.gateway.protocol.REQUEST_WITHIN_S", 0.3)

    async def scenario(_stub: Stub, port: int, _server: uvicorn.Server) -> Any:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(b"x" * 100)[:-50])
        return await reader.read()

    assert served(scenario) == b""


# a live gateway, asked both ways

CALLS: dict[str, tuple[str, dict[str, Any], dict[str, str]]] = {
    "chat": (PATH, {}, {}),
    "stream": (PATH, {"stream": True, "stream_options": {"include_usage": True}}, {}),
    "messages": ("/v1/messages", {}, {}),
    "messages stream": ("/v1/messages", {"stream": True}, {}),
    "responses": ("/v1/responses", {"messages": None, "max_tokens": None, "input": "Hello"}, {}),
    "embeddings": (
        "/v1/embeddings",
        {
            "model": "openai/text-embedding-3-small",
            "messages": None,
            "max_tokens": None,
            "input": "Hello",
        },
        {},
    ),
    "conversation": (PATH, {}, {"x-session-id": "one"}),
    "once": (PATH, {}, {"idempotency-key": "parity"}),
    "unknown model": (PATH, {"model": "nobody/knows"}, {}),
    "wrong field": (PATH, {"max_tokens": "many"}, {}),
    "nothing left": (PATH, {"provider": {"only": ["nobody"]}}, {}),
    "too dear": (PATH, {"provider": {"max_cost": "0.000000001"}}, {}),
    "no key": (PATH, {}, {"authorization": "Bearer thk_nobody"}),
    "wrong type": (PATH, {}, {"content-type": "text/plain"}),
    "compressed": (PATH, {}, {"content-encoding": "gzip"}),
}
# What differs from one call to the next, whichever way it goes.
OWN = re.compile(
    r"req_[0-9a-f]{32}|(chatcmpl|msg|resp|gen)[-_][\w-]+|\"(created|created_at|completed_at)\": ?\d+"
)
PASSING = {"x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"}
FRAMING = {"content-length", "transfer-encoding"}


@pytest.mark.parametrize("name", CALLS)
def test_both_ways_answer_and_bill_alike(gateway: Gateway, name: str) -> None:
    path, change, headers = CALLS[name]
    body: dict[str, Any] = {
        "model": "deepseek/deepseek-v3.2",  # or else each organization meets the provider of its own
        "max_tokens": 16,
        "messages": [{"role": "user", "content": "Hello"}],
        **change,
    }
    content = json.dumps({key: value for key, value in body.items() if value is not None}).encode()
    seen, tenants = [], []
    for whole in (True, False):
        tenant = factories.organization(credit_nano=1_000_000_000)
        sent = {
            "authorization": f"Bearer {factories.key(tenant).secret}",
            "content-type": "application/json",
            **headers,
        }
        # A body without a length takes the long way.
        with gateway.http.stream(
            "POST", gateway.url + path, headers=sent, content=content if whole else iter([content])
        ) as response:
            response.read()
        answered = {k: v for k, v in response.headers.items() if k not in PASSING | FRAMING}
        told = [OWN.sub("…", text) for text in (str(answered), response.text)]
        seen.append((response.status_code, *told))
        tenants.append(tenant)

    direct, asgi = seen

    assert direct == asgi
    # Of what failed nobody waits for the record.
    eventually(lambda: _bills(tenants[0]) == _bills(tenants[1]), what="the same bill")
    assert (direct[0] == 200) == any(bill["billed"] for bill in _bills(tenants[0]))


def _bills(tenant: Organization) -> list[dict[str, Any]]:
    names = ("status", "billed", "total_nano", "provider", "units", "error_code", "stream")
    return list(Usage.objects.filter(organization=tenant).values(*names))
