"""Where the platform may connect to: the one guard of every address that a person types in.

Provider base URLs and webhook URLs are asked about twice: when they are saved (``check_url``), so that
a person hears why, and at each connection (``resolve``), where the address that was checked is the one
that is connected to: what the name points to a moment later does not matter. Redirects are not
followed, proxies of the environment are not used, and a whole exchange has a deadline.
"""

import asyncio
import contextlib
import errno
import http.client
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_URL = 500
MAX_ANSWER_BYTES = 4_096
MAX_ADDRESSES = 4
TOO_LATE = "No answer within {:.0f} s."
_WEB_PORTS = frozenset({80, 443})
# What `is_global` lets through although it leads inside, or to another address within this one.
_FORBIDDEN = [
    ipaddress.ip_network(network)
    for network in (
        "168.63.129.16/32",  # Azure's host
        "192.0.0.0/24",  # Oracle Cloud's metadata among others
        "192.88.99.0/24",  # 6to4 relays
        "::/96",  # an IPv4 address, written as IPv6 long ago
        "::ffff:0:0:0/96",  # and translated
        "64:ff9b:1::/48",  # NAT64 of a local network
        "2001::/32",  # Teredo
        "fec0::/10",  # site-local
    )
]
# RFC 6052: the last 32 bits are an IPv4 address that a translator connects to.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Names that lead inside by convention, whatever they resolve to.
_INSIDE = (
    "localhost", "localdomain", "local", "internal", "intranet", "lan", "home", "corp", "private", "arpa",
)  # fmt: skip
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


class Refused(ValueError):
    """An address that requests must not go to; the text says why, for a person."""


class Unreachable(OSError):
    """Nothing was answered: no connection, a broken one, or none in time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status and the beginning of the body."""

    status: int
    text: str
    duration_ms: int


def check_url(url: str) -> None:
    """Raise ``Refused`` for a URL whose host is, now, anything but a public internet address."""
    parts = _parts(url)
    resolve(str(parts.hostname), _port(parts))


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, all of them checked; connect to one of these and to nothing else.

    Raises ``Refused`` where one leads inside, or there is none.
    """
    literal = _literal(host, port)
    if literal is not None:
        return [literal]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Refused(f"The host {host[:100]} has no address.") from None
    return _checked(host, found)


async def resolve_async(host: str, port: int) -> list[str]:
    """``resolve`` on the gateway's event loop. ``OSError`` where the name has no address."""
    literal = _literal(host, port)
    if literal is not None:
        return [literal]
    # Whoever gives up waits for it no more; the others do.
    return _checked(host, await asyncio.shield(asyncio.wrap_future(_looked_up(host, port))))


_Found = Iterable[tuple[Any, ...]]
_lookups: dict[tuple[str, int], Future[_Found]] = {}
"""Those under way."""
_asking = threading.Lock()
MAX_LOOKUPS = 64
"""Names that are looked up at once: who names many, and answers for none, does not get a thread for each."""


def _looked_up(host: str, port: int) -> Future[_Found]:
    """The lookup of a name that is under way, or a new one on a thread of its own.

    The event loop's few threads would all come to wait for one slow name, and every other name for them: uvloop has
    two. What gives up a lookup does not end it. Raises ``OSError`` where too many are under way.
    """
    with _asking:
        found = _lookups.get((host, port))
        if found is None:
            if len(_lookups) >= MAX_LOOKUPS:
                raise OSError(errno.ENOBUFS, "too many names are being looked up")
            found = Future()
            threading.Thread(target=_look_up, args=(host, port, found), daemon=True).start()
            _lookups[host, port] = found
        return found


def _look_up(host: str, port: int, found: Future[_Found]) -> None:
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except Exception as error:  # noqa: BLE001  (whoever asked raises it)
        _no_longer(host, port)
        found.set_exception(error)
    else:
        _no_longer(host, port)
        found.set_result(addresses)


def _no_longer(host: str, port: int) -> None:
    with _asking:
        del _lookups[host, port]


def post(url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float) -> Answer:
    """One POST to a URL that passes ``check_url`` at this moment.

    Raises ``Refused`` before anything is sent, ``Unreachable`` where no answer came within ``timeout_s``.
    """
    began_s = time.monotonic()
    parts = _parts(url)
    addresses = resolve(str(parts.hostname), _port(parts))
    connection = _Connection(parts, addresses, timeout_s)
    # Timeouts of a socket are for each byte; this one is for the whole.
    deadline = threading.Timer(timeout_s, connection.abort)
    deadline.daemon = True
    deadline.start()
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", path, body, dict(headers))
        response = connection.getresponse()
        text = response.read(MAX_ANSWER_BYTES).decode("utf-8", "replace")
        status = response.status
    except (OSError, http.client.HTTPException) as error:
        late = connection.aborted or time.monotonic() - began_s >= timeout_s
        raise Unreachable(TOO_LATE.format(timeout_s) if late else _why(error)) from None
    finally:
        deadline.cancel()
        connection.close()
    if connection.aborted:  # what was read until then is not an answer
        raise Unreachable(TOO_LATE.format(timeout_s))
    return Answer(status, text, round((time.monotonic() - began_s) * 1000))


def _parts(url: str) -> SplitResult:
    if len(url) > MAX_URL or not all("!" <= character <= "~" for character in url):
        raise Refused(f"A URL has at most {MAX_URL} ASCII characters and no spaces.")
    try:
        parts = urlsplit(url)
        # Read here for its error: a port that is no number.
        _ = parts.port
    except ValueError:
        raise Refused("This is not a URL.") from None
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise Refused("The URL begins with https:// and names a host.")
    if parts.scheme == "http" and not settings.EGRESS_ALLOW_LOOPBACK:
        raise Refused("The URL begins with https://: what is sent must not be read on the way.")
    if "@" in parts.netloc:
        raise Refused("A URL with a name or password in it ends up in logs; leave them out.")
    if "\\" in url or "%" in parts.netloc or parts.fragment:
        raise Refused("The URL is a plain one: no backslash, no # part, no % in the host.")
    return parts


def _port(parts: SplitResult) -> int:
    if parts.port is not None:
        return parts.port
    return 443 if parts.scheme == "https" else 80


def _literal(host: str, port: int) -> str | None:
    """The checked address where the host is one; ``None`` for a name that is fit to be looked up."""
    host = host.lower()
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        _check_address(host, address)
        _check_port(port)
        return str(address)
    name = host.removesuffix(".")
    last = name.rpartition(".")[2]
    # 2130706433, 0x7f.1, 0177.0.0.1 and 127.1 are addresses to a resolver, and hide from a reader.
    if not _NAME.fullmatch(name) or len(name) > 253 or _NUMBER.fullmatch(last):
        raise Refused("The host is a name, or an address in its usual form.")
    inside = "." not in name or last in _INSIDE
    if inside and not (name == "localhost" and settings.EGRESS_ALLOW_LOOPBACK):
        raise Refused(f"{name[:100]} is a name of an internal network.")
    _check_port(port)
    return None


def _checked(host: str, found: Iterable[tuple[Any, ...]]) -> list[str]:
    """All of a name's addresses, or none: one that leads inside makes the name unfit."""
    addresses: list[str] = []
    for entry in found:
        text = str(entry[4][0])
        _check_address(host, ipaddress.ip_address(text.partition("%")[0]))
        if text not in addresses:
            addresses.append(text)
    if not addresses:
        raise Refused(f"The host {host[:100]} has no address.")
    return addresses[:MAX_ADDRESSES]


def _check_address(host: str, address: Address) -> None:
    if not _is_public(address):
        raise Refused(
            f"{host[:100]} is {address}: an address of a private, local or special network."
            " Only public internet addresses are allowed."
        )


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or _translated(address)
        if inner is not None:
            return not inner.is_loopback and _is_public(inner)
    if address.is_loopback:
        return bool(settings.EGRESS_ALLOW_LOOPBACK)
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not any(
            address in network for network in _FORBIDDEN if network.version == address.version
        )
    )


def _translated(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return None


def _check_port(port: int) -> None:
    if port not in _WEB_PORTS and port < 1024:
        raise Refused(f"Port {port} belongs to another service than the web.")


class _Connection(http.client.HTTPConnection):
    """To a host by its name, over a socket to one of the addresses that were checked."""

    def __init__(self, parts: SplitResult, addresses: list[str], timeout_s: float) -> None:
        super().__init__(str(parts.hostname), _port(parts), timeout=timeout_s)
        self.aborted = False
        self._addresses = addresses
        self._tls = _tls() if parts.scheme == "https" else None
        self._until_s = time.monotonic() + timeout_s
        # The host's own default port is not repeated in the Host header.
        self.default_port = 443 if self._tls else 80

    def connect(self) -> None:
        self.sock = self._first_that_answers()
        if self._tls is not None:
            self.sock = self._tls.wrap_socket(self.sock, server_hostname=self.host)

    def abort(self) -> None:
        """Break off, from another thread."""
        self.aborted = True
        with contextlib.suppress(OSError, AttributeError):  # not connected, or closed meanwhile
            self.sock.shutdown(socket.SHUT_RDWR)

    def _first_that_answers(self) -> socket.socket:
        trouble: OSError = TimeoutError()
        for address in self._addresses:
            left_s = self._until_s - time.monotonic()
            if left_s <= 0:
                break
            try:
                return socket.create_connection((address, self.port), left_s)
            except OSError as error:
                trouble = error
        raise trouble


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"The certificate is not valid: {error.verify_message}."
    if isinstance(error, TimeoutError):
        return "No answer in time."
    if isinstance(error, ConnectionRefusedError):
        return "The connection was refused."
    if isinstance(error, http.client.HTTPException):
        return "What was answered is not HTTP."
    return f"The connection failed: {type(error).__name__}."
