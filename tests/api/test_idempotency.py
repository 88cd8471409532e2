"""One ``Idempotency-Key``, one effect (M21)."""

import threading
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from keys.models import ApiKey
from tests import factories
from tests.api.program import Program, problem
from tokenhub.api.models import Remembered
from tokenhub.api.tasks import forget_remembered_answers


def keys_named(program: Program, name: str) -> int:
    return ApiKey.objects.for_organization(program.tenant).filter(name=name).count()


def test_a_secret_is_not_shown_again(program: Program) -> None:
    first = program.post("keys/", {"name": "once"}, Idempotency_Key="a")
    again = program.post("keys/", {"name": "once"}, Idempotency_Key="a")

    assert first.status_code == 201
    found = problem(again, 409, "secret_not_replayable")
    assert found["key_id"] == first.json()["id"]
    assert again["idempotent-replayed"] == "true"
    assert keys_named(program, "once") == 1
    row = Remembered.objects.get(organization=program.tenant)
    assert first.json()["secret"] not in str(vars(row))


def test_another_body_is_refused(program: Program) -> None:
    program.post("keys/", {"name": "one"}, Idempotency_Key="a")

    answer = program.post("keys/", {"name": "two"}, Idempotency_Key="a")

    problem(answer, 422, "idempotency_key_reused")
    assert keys_named(program, "two") == 0


def test_another_credential_or_organization_is_independent(program: Program) -> None:
    others = Program.of(program.tenant), Program.of(factories.organization())

    for each in (program, *others):
        assert each.post("keys/", {"name": "mine"}, Idempotency_Key="a").status_code == 201


def test_an_error_is_not_remembered(program: Program) -> None:
    problem(program.post("keys/", {"rpm": 1}, Idempotency_Key="a"), 400, "validation_failed")

    assert program.post("keys/", {"name": "ok"}, Idempotency_Key="a").status_code == 201


def test_without_the_key_everything_is_new(program: Program) -> None:
    program.post("keys/", {"name": "twice"})
    program.post("keys/", {"name": "twice"})

    assert keys_named(program, "twice") == 2
    assert not Remembered.objects.filter(organization=program.tenant).exists()


@pytest.mark.parametrize("key", [" ", "x" * 256, "é"])
def test_a_key_that_is_none_is_refused(program: Program, key: str) -> None:
    answer = program.post("keys/", {"name": "k"}, Idempotency_Key=key)

    assert answer.status_code in (201, 400)
    assert (answer.status_code == 201) == (key == " ")


def test_an_address_longer_than_any_is_not_found_with_a_key_too(program: Program) -> None:
    where = f"keys/{'x' * 400}/rotate/"

    problem(program.post(where, Idempotency_Key="a"), 404, "not_found")
    problem(program.post(where), 404, "not_found")


def test_a_day_later_it_is_forgotten(program: Program) -> None:
    program.post("keys/", {"name": "daily"}, Idempotency_Key="a")
    Remembered.objects.update(created_at=timezone.now() - timedelta(hours=24, seconds=1))

    assert program.post("keys/", {"name": "daily"}, Idempotency_Key="a").status_code == 201

    Remembered.objects.update(created_at=timezone.now() - timedelta(hours=24, seconds=1))
    assert forget_remembered_answers() >= 1
    assert not Remembered.objects.filter(organization=program.tenant).exists()


def test_twenty_at_once_have_one_effect(committed: None) -> None:
    program = Program.of(factories.organization())
    answers: list[Any] = []
    begin = threading.Barrier(20)

    def call() -> None:
        mine = Program(program.tenant, program.secret)
        begin.wait()
        answers.append(mine.post("keys/", {"name": "raced"}, Idempotency_Key="race"))
        connections.close_all()

    threads = [threading.Thread(target=call) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    counted = Counter(answer.status_code for answer in answers)
    assert counted == {201: 1, 409: 19}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} <= {
        "idempotency_in_progress", "secret_not_replayable",
    }  # fmt: skip
    assert keys_named(program, "raced") == 1
