"""Forms with files (``multipart/form-data``), read as they arrive and written again for a provider.

A file beyond a mebibyte lies in a temporary file that has no name: nothing is left of it, however the
process ends. Everything is bounded: the whole, each file, the number of parts, and their headers.
"""

import hashlib
import re
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from tokenhub.gateway.errors import InvalidRequest, RequestTooLarge, UnsupportedMediaType

MAX_UPLOAD_BYTES = 64 * 1024 * 1024
MAX_FILE_BYTES = 25 * 1024 * 1024
MAX_FIELD_BYTES = 128 * 1024
MAX_PARTS = 64
MAX_BOUNDARY = 200
IN_MEMORY_BYTES = 1024 * 1024
CHUNK_BYTES = 64 * 1024
_NAME = re.compile(r"[A-Za-z0-9_.\[\]-]{1,80}")


@dataclass(slots=True)
class File:
    """One file of a form. ``kind`` is what it says it is."""

    name: str
    kind: str
    content: "SpooledTemporaryFile[bytes]" = field(repr=False)
    size: int = 0

    def beginning(self, count: int) -> bytes:
        """Its first bytes."""
        self.content.seek(0)
        return self.content.read(count)


@dataclass(slots=True)
class Form:
    """A form that was read whole. Leave it through ``with``."""

    fields: dict[str, str] = field(default_factory=dict)
    files: list[File] = field(default_factory=list)

    def digest(self) -> bytes:
        """SHA-256 of what it says: a client that sends it again draws another boundary."""
        made = hashlib.sha256(repr(sorted(self.fields.items())).encode())
        for file in self.files:
            made.update(f"{file.name}\x00{file.kind}\x00{file.size}\x00".encode())
            file.content.seek(0)
            while piece := file.content.read(CHUNK_BYTES):
                made.update(piece)
        return made.digest()

    def __enter__(self) -> "Form":
        return self

    def __exit__(self, *_: object) -> None:
        for file in self.files:
            file.content.close()


async def read_form(pieces: AsyncIterator[bytes], content_type: bytes) -> Form:
    """Read a form; a ``GatewayError`` says what is wrong with it, and leaves no file behind."""
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 0 < len(boundary) <= MAX_BOUNDARY:
        raise UnsupportedMediaType("Send a form with files: “Content-Type: multipart/form-data”.")
    reader = _Reader(boundary)
    try:
        async for piece in pieces:
            if piece:
                reader.feed(piece)
        if not reader.ended:
            raise InvalidRequest("The form is cut off.")
    except BaseException:
        reader.form.__exit__()
        raise
    return reader.form


class _Reader:
    """The parser's callbacks."""

    def __init__(self, boundary: bytes) -> None:
        self.form = Form()
        self.ended = False
        self._parts = 0
        self._header: tuple[bytes, bytes] = (b"", b"")
        self._disposition = b""
        self._kind = b""
        self._name = ""
        self._field: list[bytes] = []
        self._size = 0
        self._file: File | None = None
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_end": self._finished,
            },
        )

    def feed(self, piece: bytes) -> None:
        try:
            self._parser.write(piece)
        except FormParserError:
            raise InvalidRequest("The form is not well-formed multipart/form-data.") from None

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise InvalidRequest(f"A form has at most {MAX_PARTS} parts.")
        self._header, self._disposition, self._kind = (b"", b""), b"", b""
        self._field, self._size, self._file = [], 0, None

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0] + data[start:end], self._header[1])

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0], self._header[1] + data[start:end])

    def _header_end(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._disposition = value
        elif name.lower() == b"content-type":
            self._kind = value
        self._header = (b"", b"")

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if not _NAME.fullmatch(self._name):  # it becomes part of a header again
            raise InvalidRequest("A part of the form has no name, or one with odd characters.")
        if b"filename" in options:
            kind = self._kind.split(b";")[0].strip().lower().decode("ascii", "replace")
            # Closed with the form, which outlives this.
            content: SpooledTemporaryFile[bytes] = SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115
            self._file = File(self._name, kind, content)
            self.form.files.append(self._file)

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._size += end - start
        if self._file is None:
            if self._size > MAX_FIELD_BYTES:
                raise RequestTooLarge(f"“{self._name[:40]}” has more than {MAX_FIELD_BYTES} bytes.")
            self._field.append(data[start:end])
            return
        if self._size > MAX_FILE_BYTES:
            raise RequestTooLarge(
                f"“{self._name[:40]}”: a file has at most {MAX_FILE_BYTES // 2**20} MiB.",
                headers={"connection": "close"},
            )
        self._file.size = self._size
        self._file.content.write(data[start:end])

    def _end(self) -> None:
        if self._file is None:
            try:
                self.form.fields[self._name] = b"".join(self._field).decode()
            except UnicodeDecodeError:
                raise InvalidRequest("A field is not UTF-8.", param=self._name[:40]) from None

    def _finished(self) -> None:
        self.ended = True


class Upload:
    """A form as the body of a request: its length is known, and it can be sent more than once."""

    def __init__(self, fields: dict[str, str], files: list[File]) -> None:
        self._boundary = secrets.token_hex(16)
        self._parts: list[tuple[bytes, File | None]] = [
            (self._head(f'form-data; name="{name}"') + value.encode() + b"\r\n", None)
            for name, value in fields.items()
        ]
        for number, file in enumerate(files):
            # Named by us: what a client calls its file is nobody's business, and no header.
            disposition = f'form-data; name="{file.name}"; filename="{number}"'
            self._parts.append((self._head(disposition, file.kind), file))
        self._last = f"--{self._boundary}--\r\n".encode()

    @property
    def content_type(self) -> str:
        """The header that goes with it."""
        return f"multipart/form-data; boundary={self._boundary}"

    def __len__(self) -> int:
        whole = sum(len(head) + (file.size + 2 if file else 0) for head, file in self._parts)
        return whole + len(self._last)

    def __iter__(self) -> Iterator[bytes]:
        for head, file in self._parts:
            yield head
            if file is not None:
                file.content.seek(0)
                while chunk := file.content.read(CHUNK_BYTES):
                    yield chunk
                yield b"\r\n"
        yield self._last

    def _head(self, disposition: str, kind: str = "") -> bytes:
        lines = [f"--{self._boundary}", f"content-disposition: {disposition}"]
        if kind:
            lines.append(f"content-type: {kind}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()
