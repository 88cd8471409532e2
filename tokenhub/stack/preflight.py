"""What would stop ``make run`` later is said before anything slow begins.

``make`` runs this file with any python3, before the packages are installed: it uses the standard
library only, and syntax that an old Python can read to be told that it is too old.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import sys
from collections.abc import Iterator

LOCK_NAME = "run.lock"


def already_running(data_dir: str | os.PathLike[str]) -> str | None:
    """The sentence to say when another supervisor holds the data directory, else None."""
    try:
        lock = os.open(os.path.join(str(data_dir), LOCK_NAME), os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        who = os.read(lock, 200).decode().strip() or "just starting"
        return f"TokenHub is already running on this data ({who})."
    finally:
        os.close(lock)
    return None


def port_taken(host: str, port: int) -> str | None:
    """The sentence to say when nothing can listen on the port, else None."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            reason = "another program uses it"
        other = port + 1 if port < 65535 else 8000
        return (
            f"Port {port} on {host} cannot be used ({reason}); "
            f"choose another, for example: make run PORT={other}"
        )
    return None


def main(base_dir: str) -> None:
    """Exit with the first obstacle's sentence, if there is one."""
    given = dict(_dotenv(os.path.join(base_dir, ".env")))
    given.update(os.environ)
    data_dir = os.path.expanduser(given.get("DATA_DIR") or "var")
    sentence = already_running(os.path.join(base_dir, data_dir))
    port = given.get("PORT") or "8000"
    if sentence is None and not port.isdigit():
        sentence = f"PORT must be a number, not {port!r}."
    if sentence is None and "--data-only" not in sys.argv:
        sentence = port_taken(given.get("HOST") or "127.0.0.1", int(port))
    sys.exit(sentence)


def _dotenv(path: str) -> Iterator[tuple[str, str]]:
    """The three variables this file needs; the others are read when everything is installed."""
    try:
        with open(path) as file:
            lines = file.read().splitlines()
    except OSError:
        return
    for line in lines:
        name, _, value = line.partition("=")
        name = name.replace("export ", "").strip()
        if name in ("HOST", "PORT", "DATA_DIR"):
            yield name, value.strip().strip("'\"")


if __name__ == "__main__":
    main(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
