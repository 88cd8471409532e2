"""The gateway's HTTP client against servers that mean it harm: everything is bounded, nothing is followed."""

import asyncio
import socket
import ssl
import subprocess
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from accounts import egress
from tests.processes import free_port
from tokenhub.gateway.errors import ServiceUnavailable
from tokenhub.gateway.upstream import Client, Origin, UpstreamError, connection

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def ask(url: str, client: Client | None = None, timeout_s: float = 3.0) -> bytes:
    client = client or Client()
    response = await client.post(Origin.parse(url), "/x", {}, b"{}", first_byte_timeout_s=timeout_s)
    async with response:
        return await response.read(timeout_s)


async def against(serve: Serve, client: Client | None = None, timeout_s: float = 3.0) -> bytes:
    """One request to a server that answers as told."""

    async def quietly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n{}")
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(quietly, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        return await ask(f"http://127.0.0.1:{port}", client, timeout_s)
    finally:
        server.close()


def outcome(serve: Serve, timeout_s: float = 3.0) -> str:
    with pytest.raises(UpstreamError) as raised:
        asyncio.run(against(serve, timeout_s=timeout_s))
    return raised.value.outcome


def saying(*parts: bytes) -> Serve:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()

    return serve


def for_ever(first: bytes, then: bytes) -> Serve:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            writer.write(then)
            await writer.drain()

    return serve


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (b"HTTP/1.1 200 OK\r\nx: ", b"a" * 65_536),  # one header that never ends
        (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n" * 1_000),  # headers without number
        (b"HTTP/1.1 200 ", b"OK" * 1_000),  # a reason that never ends
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),  # promises of an answer
        (b"", b"\r\n" * 1_000),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;x=", b"y" * 65_536),
    ],
    ids=["header", "headers", "reason", "100", "lines", "chunk"],
)
def test_what_never_ends_is_given_up_at_a_size_and_not_at_a_time(
    first: bytes, then: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_BODY_BYTES", 2**20)
    assert outcome(for_ever(first, then), timeout_s=20) == "invalid_response"


def test_a_body_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_BODY_BYTES", 2**20)
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b"a" * 65_536 + b"\r\n"

    assert outcome(for_ever(head, chunk), timeout_s=20) == "invalid_response"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", "invalid_response"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nok", "invalid_response"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok", "invalid_response"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\nok", "invalid_response"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", "disconnected"),
        (b"HTTP/2 200\r\n\r\n", "invalid_response"),
        (b"SSH-2.0-OpenSSH_9.7\r\n", "invalid_response"),
        (b"HTTP/1.1 2\x00\x00 OK\r\n\r\n", "invalid_response"),
        (b"", "disconnected"),
    ],
    ids=["101", "gzip", "two lengths", "length and chunks", "short", "HTTP/2", "SSH", "NUL", "nothing"],
)  # fmt: skip
def test_an_answer_that_is_none(answer: bytes, expected: str) -> None:
    assert outcome(saying(answer)) == expected


def test_hints_come_before_the_answer_and_a_redirect_is_one() -> None:
    hints = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
    assert asyncio.run(against(saying(hints + OK))) == b"ok"
    elsewhere = (
        b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 2\r\n\r\nno"
    )
    assert asyncio.run(against(saying(elsewhere))) == b"no"


def test_a_body_may_end_with_the_connection() -> None:
    assert asyncio.run(against(saying(b"HTTP/1.0 200 OK\r\n\r\n", b"all of it"))) == b"all of it"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:{closed}", "connect_error"),
        ("http://no-such-host.invalid", "connect_error"),
        ("https://127.0.0.1:{plain}", "tls_error"),
        ("https://127.0.0.1:{untrusted}", "tls_error"),
    ],
    ids=["refused", "DNS", "no TLS", "untrusted"],
)
def test_where_no_connection_comes_about(url: str, expected: str, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=x",
         "-keyout", key, "-out", certificate], check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def run() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(100)
            writer.write(OK)
            writer.close()

        plain = await asyncio.start_server(serve, "127.0.0.1", 0)
        untrusted = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        ports = {
            "plain": plain.sockets[0].getsockname()[1],
            "untrusted": untrusted.sockets[0].getsockname()[1],
            "closed": free_port(),
        }
        try:
            await ask(url.format(**ports))
        finally:
            plain.close()
            untrusted.close()

    with pytest.raises(UpstreamError) as raised:
        asyncio.run(run())
    assert raised.value.outcome == expected


def test_a_fast_stream_waits_for_its_reader() -> None:
    """What a provider sends faster than it is taken stays with the provider."""
    sent = 0

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for _piece in range(500):
            writer.write(b"10000\r\n" + b"a" * 65_536 + b"\r\n")
            await writer.drain()
            sent += 65_536
        writer.write(b"0\r\n\r\n")

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        origin = Origin.parse(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        response = await Client().post(
            origin, "/x", {}, b"{}", first_byte_timeout_s=5, streaming=True
        )
        async with response:
            before = -1
            while sent != before:  # until nothing moves any more
                before = sent
                await asyncio.sleep(0.3)
            held = response._connection._buffered
            assert held < connection.BUFFER_HIGH_BYTES + 2**20
            assert sent < 500 * 65_536
            total = 0
            async for chunk in response.chunks(5):
                total += len(chunk)
            assert total == 500 * 65_536
        server.close()

    asyncio.run(run())


def test_bytes_that_nobody_asked_for_never_become_an_answer() -> None:
    async def run() -> None:
        connections = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            while await reader.read(1_000):
                writer.write(OK)
                await writer.drain()
                if connections == 1:
                    await asyncio.sleep(0.05)
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged")
                    await writer.drain()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        client = Client()
        assert await ask(url, client) == b"ok"
        await asyncio.sleep(0.2)
        assert await ask(url, client) == b"ok"
        assert connections == 2
        server.close()

    asyncio.run(run())


def test_a_connection_that_went_stale_is_replaced() -> None:
    async def run() -> None:
        connections = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            await reader.read(1_000)
            writer.write(OK)
            await writer.drain()
            await reader.read(1_000)  # the second request meets a closing door
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        client = Client()
        assert [await ask(url, client), await ask(url, client)] == [b"ok", b"ok"]
        assert connections == 2
        server.close()

    asyncio.run(run())


def test_a_name_that_takes_long_to_look_up_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, looked_up, over = socket.getaddrinfo, Counter[str](), threading.Event()

    def getaddrinfo(host: str, *arguments: Any, **more: Any) -> Any:
        looked_up[host] += 1
        if host == "slow.example.com":
            over.wait(30)
        return real("127.0.0.1", *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    async def run() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1_000)
            writer.write(OK)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        slow = [asyncio.ensure_future(ask(f"http://slow.example.com:{port}")) for _ in range(40)]
        await asyncio.sleep(0)

        assert await ask(f"http://quick.example.com:{port}") == b"ok"

        slow.pop().cancel()  # the others wait on
        over.set()
        assert await asyncio.gather(*slow) == [b"ok"] * 39
        server.close()

    asyncio.run(run())
    assert looked_up["slow.example.com"] == 1


def test_names_that_nobody_answers_for_do_not_get_a_thread_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    over, asked = threading.Event(), Counter[str]()

    def getaddrinfo(host: str, *_: Any, **__: Any) -> Any:
        asked[host] += 1
        over.wait(30)
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    async def run() -> None:
        slow = [
            asyncio.ensure_future(egress.resolve_async(f"{number}.example.com", 443))
            for number in range(egress.MAX_LOOKUPS)
        ]
        await asyncio.sleep(0)

        # Our own trouble, and nobody's fault: no provider is blamed for it.
        with pytest.raises(ServiceUnavailable):
            await ask("http://another.example.com")

        over.set()
        await asyncio.gather(*slow, return_exceptions=True)
        with pytest.raises(UpstreamError, match="connect_error"):
            await ask("http://another.example.com")

    asyncio.run(run())
    assert len(asked) == egress.MAX_LOOKUPS + 1


def test_a_request_is_sent_twice_at_most_however_many_connections_went_stale() -> None:
    async def run() -> int:
        first = asyncio.Barrier(5)
        again = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal again
            await reader.read(1_000)
            if again == 0:
                await first.wait()
                writer.write(OK)
                await writer.drain()
                await reader.read(1_000)  # it may have done all that was asked
            again += 1
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        client = Client()
        assert await asyncio.gather(*(ask(url, client) for _ in range(5))) == [b"ok"] * 5
        with pytest.raises(UpstreamError):
            await ask(url, client)
        server.close()
        return again

    assert asyncio.run(run()) == 2


def test_what_is_passed_on_may_be_larger_than_any_answer_up_to_its_own_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "MAX_BODY_BYTES", 1_000_000)
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 5000000\r\n\r\n"

    async def received(limit_bytes: int) -> int:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(head)
            for _ in range(100):
                writer.write(b"x" * 50_000)
                await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        origin = Origin.parse(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        try:
            response = await Client().get(
                origin, "/x", {}, first_byte_timeout_s=3.0, stream_up_to_bytes=limit_bytes
            )
            async with response:
                return sum([len(piece) async for piece in response.chunks(3.0)])
        finally:
            server.close()

    assert asyncio.run(received(5_000_000)) == 5_000_000
    with pytest.raises(UpstreamError):
        asyncio.run(received(3_000_000))
