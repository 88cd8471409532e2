"""How often the API may be called, counted in the shared cache."""

import uuid
from typing import Any

import pytest
from django.test import Client
from redis.exceptions import ConnectionError as RedisAway

from tests import factories
from tests.api.program import Program, problem

pytestmark = pytest.mark.django_db


def test_every_answer_says_what_is_left(program: Program, settings: Any) -> None:
    settings.API_REQUESTS_PER_MINUTE = 100

    answer = program.get("me/")

    assert answer["ratelimit-policy"] == '"credential";q=100;w=60'
    assert answer["ratelimit"].startswith('"credential";r=99;t=')


def test_a_credential_is_limited_alone(program: Program, settings: Any) -> None:
    settings.API_REQUESTS_PER_MINUTE = 3
    other = Program.of(program.tenant)

    # A minute may end in between; then a second one begins.
    answers = [program.get("me/") for _ in range(8)]

    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    problem(refused[0], 429, "rate_limit_exceeded")
    assert 1 <= int(refused[0]["retry-after"]) <= 60
    assert ";r=0;" in refused[0]["ratelimit"]
    assert other.get("me/").status_code == 200


def address() -> str:
    return f"2001:db8::{uuid.uuid4().hex[:4]}:{uuid.uuid4().hex[:4]}"


def test_an_address_is_limited_whoever_calls(settings: Any) -> None:
    settings.API_ADDRESS_REQUESTS_PER_MINUTE = 3
    here = address()

    statuses = [Client().get("/api/v1/me/", REMOTE_ADDR=here).status_code for _ in range(8)]

    assert set(statuses) == {401, 429}
    assert Client().get("/api/v1/me/", REMOTE_ADDR=address()).status_code == 401


def test_guessing_is_limited_before_anything_is_looked_up(
    settings: Any, django_assert_num_queries: Any
) -> None:
    settings.API_FAILED_KEYS_PER_MINUTE = 3
    here, secret = address(), Program.of(factories.organization()).secret

    def guess(text: str) -> int:
        headers = {"Authorization": f"Bearer {text}"}
        return Client().get("/api/v1/me/", REMOTE_ADDR=here, headers=headers).status_code

    statuses = [guess(f"thm_{number}") for number in range(10)]

    assert set(statuses) == {401, 429}
    with django_assert_num_queries(0):
        assert guess(secret) == 429


def test_without_the_cache_calls_go_through(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise RedisAway("away")

    for name in ("add", "incr", "get"):
        monkeypatch.setattr(f"tokenhub.api.limits.cache.{name}", away)

    assert program.get("me/").status_code == 200
