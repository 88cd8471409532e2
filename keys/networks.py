"""The networks a key may be used from."""

import ipaddress
from collections.abc import Iterable

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks_of(allowlist: Iterable[str]) -> tuple[Network, ...]:
    """A key's allowlist, ready to look up."""
    return tuple(ipaddress.ip_network(network) for network in allowlist)


def inside(address: str | None, networks: tuple[Network, ...]) -> bool:
    """Whether an address is in one of them; one that cannot be read is in none."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in networks)
