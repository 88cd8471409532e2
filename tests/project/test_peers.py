"""A host of PostgreSQL or Redis that has gone without a word is noticed by every kind of process."""

import os
import socket
from typing import Any
from urllib.parse import urlsplit

import psycopg
from django.conf import settings
from django.db import connection

from tests.relay import Relay
from tokenhub import celery, peers


def noticed_within_s(own: socket.socket) -> int:
    """After how long the kernel gives up a silent peer, or 0 where it does not ask."""
    if not own.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE):
        return 0
    idle, every, count = (
        own.getsockopt(socket.IPPROTO_TCP, option)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    )
    return idle + every * count


def test_connections_of_pages_and_jobs_to_postgresql() -> None:
    there = connection.settings_dict
    given = {name: there["OPTIONS"].get(name, "") for name in peers.POSTGRES}
    with (
        Relay(f"{there['HOST']}/.s.PGSQL.{there['PORT'] or 5432}") as relay,
        psycopg.connect(
            host="127.0.0.1", port=relay.port, user=there["USER"], dbname="postgres", **given
        ) as link,
    ):
        own = socket.socket(fileno=os.dup(link.pgconn.socket))
        with own:
            assert noticed_within_s(own) == 11


def test_connections_of_workers_to_redis() -> None:
    assert urlsplit(settings.CELERY_BROKER_URL).scheme == "redis"
    with celery.app.connection_for_write() as broker:
        redis: Any = broker.default_channel.client  # type: ignore[attr-defined]
        redis.ping()
        link = redis.connection_pool.get_connection()
        try:
            assert noticed_within_s(link._sock) == 11
        finally:
            redis.connection_pool.release(link)
