"""``python -m tokenhub.stack.providers``: serve until told to stop."""

import argparse
import asyncio
import signal
from pathlib import Path

import uvloop

from tokenhub.stack.providers.catalogue import load
from tokenhub.stack.providers.connection import Connection
from tokenhub.stack.providers.server import Server

CATALOGUE = Path(__file__).resolve().parents[3] / "routing" / "seed" / "catalogue.csv"


async def serve(host: str, port: int, catalogue: Path) -> None:
    """Listen, say so, and serve until a signal."""
    loop = asyncio.get_running_loop()
    server = Server(load(catalogue))
    listening = await loop.create_server(lambda: Connection(server), host, port, backlog=4096)
    bound_port = listening.sockets[0].getsockname()[1]
    server.url = f"http://{host}:{bound_port}"
    print(f"ready {server.url}", flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
    listening.close()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="tokenhub.stack.providers", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--catalogue", type=Path, default=CATALOGUE)
    arguments = parser.parse_args()
    uvloop.run(serve(arguments.host, arguments.port, arguments.catalogue))


main()
