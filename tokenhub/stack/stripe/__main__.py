"""``python -m tokenhub.stack.stripe``: serve a simulated Stripe until told to stop."""

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

import msgspec

from tokenhub.stack.stripe.server import Server
from tokenhub.stack.stripe.store import Store
from tokenhub.stack.stripe.webhooks import Deliverer

_FALSE = ("", "0", "false", "no", "off", "n", "f")


def serve(arguments: argparse.Namespace) -> None:
    """Listen, say so, and serve until a signal."""
    store = Store(path=arguments.state)
    server = Server(arguments.host, arguments.port, store, arguments.secret_key)
    host = "127.0.0.1" if arguments.host == "0.0.0.0" else arguments.host  # noqa: S104
    store.url = (arguments.public_url or f"http://{host}:{server.server_port}").rstrip("/")
    if arguments.webhook_url is not None:
        secret = os.environ.get("STRIPE_WEBHOOK_SECRET", "")
        store.webhook |= {"url": arguments.webhook_url, "secret": secret}
    # Awaited, not handled: a second signal may come while a handler of the first has a lock. Threads inherit this.
    ends = (signal.SIGINT, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    deliverer = Deliverer(store)
    deliverer.start()
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    print(f"ready {store.url}", flush=True)
    signal.sigwait(ends)
    server.shutdown()
    server.server_close()
    deliverer.stop()
    # Whoever is inside the lock finishes first; after this nobody writes the state any more.
    store.lock.acquire()
    store.save()


def main() -> int:
    """Read the command line and serve; the exit code."""
    debug = os.environ.get("DEBUG")
    if debug is not None and debug.strip().lower() in _FALSE:
        print(
            "The simulated Stripe is for development and tests and does not start with DEBUG off.",
            file=sys.stderr,
        )
        return 1
    parser = argparse.ArgumentParser(prog="tokenhub.stack.stripe", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--public-url", help="where browsers reach it, if not at host and port")
    parser.add_argument("--state", type=Path, help="keep everything in this file over restarts")
    parser.add_argument(
        "--secret-key", help="the one key that is taken; without it any sk_test_ key"
    )
    parser.add_argument("--webhook-url", help="signed with STRIPE_WEBHOOK_SECRET")
    arguments = parser.parse_args()
    try:
        serve(arguments)
    except (msgspec.DecodeError, KeyError) as error:
        print(f"The state file {arguments.state} cannot be read: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"The simulated Stripe cannot start: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
