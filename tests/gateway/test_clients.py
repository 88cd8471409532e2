"""Clients that are slow, many, gone, or send what is no request: bounded, closed, the rest is served."""

import contextlib
import json
import os
import resource
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from billing.models import Usage
from tests import factories
from tests.conftest import new_gateway
from tests.live import Gateway, Providers, marker
from tests.processes import Server, eventually

CREDIT = 100_000_000_000
GET = b"GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %b\r\n\r\n"


@pytest.fixture(scope="module")
def hasty(gateway_environ: dict[str, str]) -> Iterator[Server]:
    """A gateway that gives a request two seconds to arrive."""
    patient = {"TOKENHUB_STREAM_TIMEOUT_S": "30", "TOKENHUB_PLAIN_TIMEOUT_S": "60"}
    server = new_gateway(gateway_environ, TOKENHUB_REQUEST_WITHIN_S="2", **patient).start()
    yield server
    server.stop()


@pytest.fixture
def impatient(committed: None, hasty: Server, providers: Providers) -> Iterator[Gateway]:
    yield Gateway(hasty.url, providers)
    providers.lift_faults()


@pytest.fixture
def secret(committed: None, catalogue: None) -> str:
    return factories.key(factories.organization(credit_nano=CREDIT)).secret


def connect(gateway: Gateway) -> socket.socket:
    port = int(gateway.url.rsplit(":", 1)[1])
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def rest_of(connection: socket.socket) -> bytes:
    """Everything until the peer closes."""
    pieces = []
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65_536):
            pieces.append(piece)
    return b"".join(pieces)


def chat(secret: str, text: str, *, stream: bool = False, max_tokens: int = 64) -> bytes:
    body = json.dumps(
        {"model": "deepseek-v3.2", "max_tokens": max_tokens, "stream": stream,
         "messages": [{"role": "user", "content": text}]}
    ).encode()  # fmt: skip
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    return (
        f"{head}authorization: Bearer {secret}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        + body
    )


@pytest.mark.parametrize(
    "begin",
    [b"", b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-slow: ", b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n"],
    ids=["nothing", "head", "body"],
)  # fmt: skip
def test_a_request_that_does_not_arrive_in_time_is_closed(
    impatient: Gateway, secret: str, begin: bytes
) -> None:
    with connect(impatient) as slow:
        slow.sendall(begin)
        closed = False

        def trickles() -> bool:
            nonlocal closed
            assert impatient.chat(secret).status_code == 200  # the others are served
            try:
                if begin:
                    slow.sendall(b"a")
                slow.settimeout(0.1)
                closed = slow.recv(1_000) == b"" or closed
            except TimeoutError:
                return False
            except (ConnectionResetError, BrokenPipeError):
                return True
            return closed

        eventually(trickles, within_s=20, what="the end of its patience")


BAD = {
    "two lengths": b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
    "length and chunks": b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "length is no number": b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
    "chunks twice": b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "broken chunk": b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    "bare LF": b"POST /v1/chat/completions HTTP/1.1\nhost: x\ncontent-length: 2\n\n{}",
    "NUL in a header": b"GET /v1/models HTTP/1.1\r\nhost: x\r\nx-a: a\x00b\r\n\r\n",
    "space before the colon": b"GET /v1/models HTTP/1.1\r\nhost : x\r\n\r\n",
    "folded header": b"GET /v1/models HTTP/1.1\r\nhost: x\r\nx-a: a\r\n b\r\n\r\n",
    "no method": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "head of a megabyte": b"GET /v1/models HTTP/1.1\r\nhost: x\r\nx-a: " + b"a" * 2**20 + b"\r\n\r\n",
    "a thousand headers": b"GET /v1/models HTTP/1.1\r\nhost: x\r\n" + b"x-a: b\r\n" * 1_000 + b"\r\n",
    "address of a megabyte": b"GET /v1/" + b"a" * 2**20 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_request_is_refused_once_and_closed(
    impatient: Gateway, secret: str, name: str
) -> None:
    smuggled = GET % secret.encode()
    with connect(impatient) as bad:
        with contextlib.suppress(ConnectionError):
            bad.sendall(BAD[name] + smuggled)
        answer = rest_of(bad)

    assert answer.count(b"HTTP/1.1 ") <= 1
    assert not answer or answer.startswith(b"HTTP/1.1 4")
    assert b'"object":"list"' not in answer
    assert impatient.chat(secret).status_code == 200


def test_a_body_without_an_end_is_refused_at_its_limit(impatient: Gateway, secret: str) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nauthorization: Bearer %b\r\ntransfer-encoding: chunked\r\n\r\n"
    chunk = b"100000\r\n" + b" " * 2**20 + b"\r\n"
    with connect(impatient) as endless:
        endless.sendall(head % secret.encode())
        with contextlib.suppress(ConnectionError):
            for _ in range(64):
                endless.sendall(chunk)
        answer = rest_of(endless)

    assert not answer or answer.startswith(b"HTTP/1.1 413")
    assert impatient.chat(secret).status_code == 200


def test_requests_in_one_breath_are_answered_in_their_order(gateway: Gateway, secret: str) -> None:
    last = GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n") % secret.encode()
    with connect(gateway) as connection:
        connection.sendall(chat(secret, "[[tokens=3]]") + GET % secret.encode() + chat(secret, "[[tokens=4]]") + last)  # fmt: skip
        answer = rest_of(connection)

    assert answer.count(b"HTTP/1.1 200") == 4
    order = [answer.index(b'"completion_tokens":3'), answer.index(b'"object":"list"'), answer.index(b'"completion_tokens":4')]  # fmt: skip
    assert order == sorted(order)


def resident_mb(server: Server) -> float:
    assert server.process is not None
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def test_slow_readers_of_fast_streams_hold_little_and_get_all(
    impatient: Gateway, hasty: Server, secret: str
) -> None:
    name, tokens, readers = marker(), 65_000, 4
    request = chat(secret, f"[[tokens={tokens}]] [[id={name}]]", stream=True, max_tokens=tokens)
    before_mb = resident_mb(hasty)
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connect(impatient)) for _ in range(readers)]
        for connection in slow:
            # Small, but more than a segment of the loopback: below that, the kernel's timers rule.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 262_144)
            connection.sendall(request)
        eventually(lambda: len(impatient.providers.calls(marker=name)) == readers, within_s=30)
        for _ in range(30):
            assert impatient.chat(secret).status_code == 200
            assert resident_mb(hasty) - before_mb < 30

        received = sum(read_stream(connection) for connection in slow)

    assert received > 50 * 2**20


def read_stream(connection: socket.socket) -> int:
    """The size of a stream that ends as complete."""
    received, end = 0, b""
    while not end.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"):
        piece = connection.recv(65_536)
        received += len(piece)
        end = (end + piece)[-600:]
        assert piece, f"it ended early: {end!r}"
        assert b'"error":' not in end, end
    return received


@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_a_client_that_hangs_up_changes_nothing_of_what_it_owes(
    gateway: Gateway, when: str
) -> None:
    tenant = factories.organization(credit_nano=CREDIT)
    name, secret = marker(), factories.key(tenant).secret
    gateway.providers.fault("*", "slow", contains=name, delay_ms=30)
    request = chat(secret, f"[[tokens=8]] [[id={name}]]", stream=True)
    connection = connect(gateway)
    connection.sendall(request[:-5] if when == "before" else request)
    if when == "during":
        assert b"data:" in connection.recv(65_536) + connection.recv(65_536)
    if when == "after":
        received = b""
        while b"[DONE]" not in received:
            received += connection.recv(65_536)
    connection.close()

    if when == "before":
        assert gateway.chat(secret).status_code == 200
        assert not gateway.providers.calls(marker=name)
        return
    usage = eventually(lambda: Usage.objects.filter(organization=tenant).first(), within_s=20)
    assert (usage.status, usage.billed) == ("succeeded", True)


def test_ten_thousand_idle_connections_and_the_rest_is_served(
    gateway: Gateway, gateway_environ: dict[str, str], secret: str
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    idle: list[socket.socket] = []
    server = new_gateway(gateway_environ).start()
    other = Gateway(server.url, gateway.providers)
    try:
        count = min(10_000, hard - 500)
        if count < 10_000:
            warnings.warn(
                f"this process may open {hard} files: {count} connections were tried, not 10,000",
                stacklevel=1,
            )
        before_mb = resident_mb(server)
        for _ in range(count):
            idle.append(connect(other))
        assert other.chat(secret).status_code == 200
        assert other.stream(secret).done
        assert (resident_mb(server) - before_mb) * 2**20 / count < 20_000  # bytes each
    finally:
        for connection in idle:
            connection.close()
        server.stop()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_out_of_file_descriptors_is_a_clear_error_that_passes(
    gateway: Gateway, gateway_environ: dict[str, str]
) -> None:
    tenant = factories.organization(credit_nano=CREDIT)
    secret = factories.key(tenant).secret
    server = new_gateway(gateway_environ).start()
    assert server.process is not None
    other = Gateway(server.url, gateway.providers)
    try:
        assert other.chat(secret).status_code == 200
        in_use = len(os.listdir(f"/proc/{server.process.pid}/fd"))
        limits = (in_use, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        # What is kept open to providers goes away in a while; until then there is nothing to open.
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, limits)
        codes = {other.chat(secret, model).status_code for model in ("gpt-4o-mini", "qwen-plus", "kimi-k2.5", "glm-5")}  # fmt: skip
        assert codes <= {200, 502, 503}
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (4_096, limits[1]))
        eventually(lambda: other.chat(secret, "glm-5").status_code == 200, within_s=20)
    finally:
        server.stop()

    delivered = Usage.objects.filter(organization=tenant, billed=True).count()
    assert delivered >= 2


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/chat/completions/"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("requests", [1, 2])
def test_a_client_that_ends_its_side_once_it_has_asked_gets_its_answers(
    gateway: Gateway, secret: str, path: str, stream: bool, requests: int
) -> None:
    mark = marker()
    gateway.providers.fault("*", "slow", delay_ms=100, contains=mark)
    asked = chat(secret, f"[[id={mark}]]", stream=stream, max_tokens=8)
    asked = asked.replace(b"/v1/chat/completions", path.encode())

    with connect(gateway) as connection:
        connection.sendall(asked * requests)
        connection.shutdown(socket.SHUT_WR)
        answered = rest_of(connection)  # and the gateway ends its own

    assert answered.count(b"HTTP/1.1 200 OK\r\n") == requests
    assert answered.count(b"data: [DONE]" if stream else b'"usage":') == requests
