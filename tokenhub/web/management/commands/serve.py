"""``manage.py serve --role web|gateway|all``: the console, the gateway, or both in one process."""

import os
import sys
from argparse import ArgumentParser
from typing import Any

import uvicorn
from django.conf import settings
from django.core.management.base import BaseCommand

# With the console in the gateway's process, a shorter turn keeps a busy page from delaying calls.
SWITCH_INTERVAL_S = 0.0005


class Command(BaseCommand):
    """Serve HTTP until told to stop; requests under way are finished first."""

    help = "Serve the console, the gateway, or both."
    requires_system_checks = []  # `manage.py check` and `migrate` run them; a restart must be quick

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--role", choices=["all", "web", "gateway"], default="all")
        parser.add_argument("--host", default=settings.HOST)
        parser.add_argument("--port", type=int, default=settings.PORT)

    def handle(self, *, role: str, host: str, port: int, **_: Any) -> None:
        os.environ["TOKENHUB_ROLE"] = role
        if role == "all":
            sys.setswitchinterval(SWITCH_INTERVAL_S)
            settings.GATEWAY_URL = settings.GATEWAY_URL or f"http://{_reached_at(host)}:{port}"
        uvicorn.run(
            "tokenhub.asgi:application",
            host=host,
            port=port,
            loop="uvloop",
            http="tokenhub.gateway.protocol:GatewayProtocol",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            backlog=4096,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=settings.DRAIN_S,
            h11_max_incomplete_event_size=64 * 1024,
        )


def _reached_at(host: str) -> str:
    """The address at which this process reaches itself."""
    own = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  (compared, not bound)
    return f"[{own}]" if ":" in own else own
