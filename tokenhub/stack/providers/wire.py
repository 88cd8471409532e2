"""Bytes that the simulated providers send: heads of answers, and what their storage has."""

from pathlib import Path

REASONS = {200: b"OK", 302: b"Found", 400: b"Bad Request", 401: b"Unauthorized", 404: b"Not Found"}
HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154"
    "789c6360606060000000050001a5f645400000000049454e44ae426082"
)
# Three seconds of colours in H.264, which browsers play.
MP4 = (Path(__file__).parent / "video.mp4").read_bytes()


def head(status: int, kind: bytes, length: int) -> bytes:
    """The head of a whole answer, with a cookie and a name that nobody may see."""
    reason = REASONS.get(status, b"Status")
    return (
        b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\ncontent-length: %d\r\nserver: simulated\r\n"
        b"x-request-id: sim\r\nset-cookie: upstream=secret; Path=/\r\n\r\n"
        % (status, reason, kind, length)
    )


def stream_head() -> bytes:
    """The head of a stream."""
    return (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
        b"server: simulated\r\nset-cookie: upstream=secret; Path=/\r\n\r\n"
    )
