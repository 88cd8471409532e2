"""How every process notices that the host of PostgreSQL or Redis has gone without a word.

The kernel by itself waits for two hours for an answer that nobody will give; here it is some ten seconds.
"""

import socket
from typing import Any

CONNECT_WITHIN_S = 3
_IDLE_S, _EVERY_S, _COUNT, _UNHEARD_MS = 5, 2, 3, 10_000

POSTGRES: dict[str, Any] = {
    "connect_timeout": CONNECT_WITHIN_S,
    "keepalives_idle": _IDLE_S,
    "keepalives_interval": _EVERY_S,
    "keepalives_count": _COUNT,
    "tcp_user_timeout": _UNHEARD_MS,
}
"""Parameters of libpq's; a Unix socket takes them and has no use for them."""

# Not every system has all of them.
KEEPALIVE: dict[int, int] = {
    getattr(socket, name): value
    for name, value in (
        ("TCP_KEEPIDLE", _IDLE_S),
        ("TCP_KEEPINTVL", _EVERY_S),
        ("TCP_KEEPCNT", _COUNT),
    )
    if hasattr(socket, name)
}
"""The same as options of a socket, for Redis."""
