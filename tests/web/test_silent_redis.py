"""Redis is there and says nothing: pages and the API must not wait for it without end."""

import os
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import httpx2
import pytest

from tests import factories
from tests.conftest import database_url
from tests.processes import Server, eventually
from tests.relay import Relay


@pytest.fixture
def web(committed: None) -> Iterator[tuple[httpx2.Client, Relay]]:
    """The console, whose Redis is reached over a wire that can fall silent."""
    redis = urlsplit(os.environ["REDIS_URL"])
    assert redis.port
    with Relay(redis.port) as relay:
        there = redis.netloc.replace(f":{redis.port}", f":{relay.port}")
        environ = {
            "DATABASE_URL": database_url(),
            "REDIS_URL": urlunsplit(redis._replace(netloc=there)),
        }
        command = ["manage.py", "serve", "--role", "web", "--port", "{port}"]
        server = Server(command, environ, "/readyz").start()
        with httpx2.Client(base_url=server.url, timeout=20) as http:
            yield http, relay
        server.stop()


def test_it_is_as_if_redis_were_away(web: tuple[httpx2.Client, Relay]) -> None:
    http, relay = web
    secret = factories.key(factories.organization(), kind="management").secret
    assert http.get("/api/v1/keys", headers={"authorization": f"Bearer {secret}"}).status_code

    relay.fall_silent()

    assert http.get("/healthz").status_code == 200
    ready = http.get("/readyz")
    assert (ready.status_code, ready.json()["broker"]) == (503, "away")
    assert http.get("/").status_code == 200
    keys = http.get("/api/v1/keys", headers={"authorization": f"Bearer {secret}"})
    assert keys.status_code == 200
    assert http.get("/accounts/login/").status_code == 200

    relay.speak()
    eventually(lambda: http.get("/readyz").status_code == 200)
