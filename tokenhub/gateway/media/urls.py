"""Addresses of results: they are the provider's words, we follow them, and so they are looked at first.

Once when a result comes in, since one that leads nowhere is none, and again whenever it is opened (``content``).
"""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from accounts import egress
from tokenhub.gateway.dialects.base import InvalidResult
from tokenhub.gateway.upstream import Origin

# Signed addresses are long; longer than this, none is one.
MAX_URL = 8_192


@dataclass(frozen=True, slots=True)
class MediaUrl:
    """An address that passed: where it leads, and what to ask for there."""

    origin: Origin
    path: str


async def checked(url: str) -> MediaUrl:
    """Where a result's address leads; ``InvalidResult`` for anything but a plain public web address.

    Scripts, data, files, names and addresses of internal networks, and credentials in an address do not pass.
    """
    if len(url) > MAX_URL or not all("!" <= character <= "~" for character in url) or "\\" in url:
        raise InvalidResult("unsafe_url")
    try:
        parts = urlsplit(url)
        if "@" in parts.netloc or "%" in parts.netloc:
            raise InvalidResult("unsafe_url")
        origin = Origin.parse(url)
        addresses = await egress.resolve_async(origin.host, origin.port)
    except (ValueError, OSError):
        raise InvalidResult("unsafe_url") from None
    if origin.scheme != "https" and not all(
        ipaddress.ip_address(address).is_loopback for address in addresses
    ):
        raise InvalidResult("unsafe_url")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return MediaUrl(Origin(origin.scheme, origin.host, origin.port, ""), path)
