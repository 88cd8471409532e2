"""Server-sent events, sans I/O.

Source: the WHATWG HTML standard, "Interpreting an event stream".
"""

MAX_EVENT_BYTES = 8 * 1024 * 1024


class EventTooLarge(ValueError):
    """An event that never ends."""


class EventParser:
    """Splits a byte stream into events; keeps what is incomplete."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """``(event name, data)`` of every event that is complete now. Comments are dropped."""
        buffer = self._rest + data if self._rest else data
        if b"\r" in buffer:
            # A lone CR at the end may be half of a CRLF that was split between two reads.
            held = b"\r" if buffer.endswith(b"\r") else b""
            buffer = buffer[: len(buffer) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            buffer += held
        *blocks, self._rest = buffer.split(b"\n\n")
        if len(self._rest) > MAX_EVENT_BYTES:
            raise EventTooLarge
        events = []
        for block in blocks:
            if block.startswith(b"data: ") and b"\n" not in block:
                events.append((b"", block[6:]))
            elif (event := _parse(block)) is not None:
                events.append(event)
        return events

    @property
    def pending(self) -> bool:
        """Whether the stream ended inside an event."""
        return bool(self._rest.strip())


def _parse(block: bytes) -> tuple[bytes, bytes] | None:
    name = b""
    data: list[bytes] = []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return (name, b"\n".join(data)) if data else None


def frame(data: bytes) -> bytes:
    """An event as OpenAI's clients expect it."""
    return b"data: " + data + b"\n\n"


DONE = b"data: [DONE]\n\n"
