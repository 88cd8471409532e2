"""A management key's budget is what all the keys it makes may spend together, however many it makes."""

import threading
from collections import Counter
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from django.db import connection, connections
from django.utils import timezone

from accounts.audit import SYSTEM
from accounts.models import Organization
from billing.models import UsageDay
from keys.budgets import Budget
from keys.models import ApiKey
from keys.services import revoke, update
from tests import factories
from tests.api.program import Program, problem

USD = 10**9


def integration(usd: int = 10, tenant: Organization | None = None) -> Program:
    """A program that may give out so much a month."""
    tenant = tenant or factories.organization(credit_nano=1000 * USD)
    return Program.of(tenant, budget=Budget(usd * USD, "month"))


def ask(program: Program, usd: str, **limits: Any) -> Any:
    body = {"name": "child", "budget": {"amount": usd, "period": "month"}, **limits}
    return program.post("keys/", body)


def made(program: Program, usd: str, **limits: Any) -> ApiKey:
    answer = ask(program, usd, **limits)
    assert answer.status_code == 201, answer.content
    key: ApiKey = ApiKey.objects.get(pk=answer.json()["id"])
    return key


def refused(answer: Any, left: str) -> None:
    found = problem(answer, 403, "budget_given_out")
    assert f"{left} USD a month" in found["detail"]
    assert "10.00 USD a month" in found["detail"]


def spend(key: ApiKey, usd: int) -> None:
    factories.charge(
        key.organization, usd * USD, service_fee_bps=0, key_id=f"{key.id[4:]}", key_name=key.name
    )


@pytest.mark.django_db
def test_budgets_of_keys_made_by_one_key_add_up_to_no_more_than_its_own() -> None:
    program = integration()

    made(program, "6.00")
    refused(ask(program, "4.01"), left="4.00")
    made(program, "4.00")

    refused(ask(program, "0.01"), left="0.00")
    refused(program.post("keys/", {"name": "with all of it"}), left="0.00")
    assert ApiKey.objects.for_organization(program.tenant).filter(kind="inference").count() == 2


@pytest.mark.django_db
def test_each_key_has_its_own_and_one_without_a_budget_has_no_bound() -> None:
    tenant = factories.organization()
    one, other, free = integration(10, tenant), integration(10, tenant), Program.of(tenant)
    factories.key(tenant, budget=Budget(10 * USD, "month"))  # by a person

    for program in (one, other, free, free):
        made(program, "10.00")

    refused(ask(one, "1.00"), left="0.00")


@pytest.mark.django_db
def test_an_ended_key_frees_what_it_did_not_spend() -> None:
    program = integration()
    revoked, expired = made(program, "6.00"), made(program, "4.00")
    spend(revoked, 1)
    spend(expired, 2)

    revoke(revoked, actor=SYSTEM)
    ApiKey.objects.filter(pk=expired.pk).update(expires_at=timezone.now() - timedelta(seconds=1))

    refused(ask(program, "7.01"), left="7.00")
    made(program, "7.00")


@pytest.mark.django_db
def test_a_lower_budget_frees_what_was_not_spent() -> None:
    program = integration()
    key = made(program, "10.00")
    spend(key, 3)

    lower = program.patch(
        f"keys/{key.id}/", {"budget": {"amount": "1.00", "period": "month"}}
    )  # fmt: skip

    assert lower.status_code == 200
    refused(ask(program, "7.01"), left="7.00")
    made(program, "7.00")


@pytest.mark.django_db
def test_what_was_spent_in_an_earlier_period_is_free_again() -> None:
    program = integration()
    key = made(program, "10.00")
    spend(key, 9)
    revoke(key, actor=SYSTEM)
    refused(ask(program, "5.00"), left="1.00")

    UsageDay.objects.update(day=timezone.now().date() - timedelta(days=40))

    made(program, "10.00")


@pytest.mark.django_db
def test_a_total_counts_whole_in_every_period() -> None:
    program = integration()

    made(program, "0", budget={"amount": "6.00", "period": "total"})

    refused(ask(program, "5.00"), left="4.00")


@pytest.mark.django_db
def test_no_change_of_a_key_goes_around_it() -> None:
    program = integration()
    tenant = program.tenant
    own, old = made(program, "5.00"), made(program, "5.00")
    persons = factories.key(tenant, budget=Budget(4 * USD, "month")).key
    more = {"budget": {"amount": "5.01", "period": "month"}}

    refused(program.patch(f"keys/{own.id}/", more), left="0.00")
    refused(program.patch(f"keys/{persons.id}/", more), left="0.00")
    refused(program.post(f"keys/{persons.id}/rotate/"), left="0.00")
    ApiKey.objects.filter(pk=old.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    made(program, "5.00")
    later = (timezone.now() + timedelta(days=1)).isoformat()
    refused(program.patch(f"keys/{old.id}/", {"expires_at": later}), left="0.00")

    own.refresh_from_db()
    persons.refresh_from_db()
    assert (own.budget_nano, persons.budget_nano) == (5 * USD, 4 * USD)
    assert persons.rotated_at is None
    for harmless in ({"name": "renamed"}, {"budget": {"amount": "5.00", "period": "month"}}):
        assert program.patch(f"keys/{own.id}/", harmless).status_code == 200
    assert program.post(f"keys/{own.id}/rotate/").status_code == 200
    assert program.delete(f"keys/{own.id}/").status_code == 200


@pytest.mark.django_db
def test_a_key_that_was_rotated_counts_for_who_was_given_its_secret() -> None:
    program = integration()
    persons = factories.key(program.tenant, budget=Budget(4 * USD, "month")).key

    assert program.post(f"keys/{persons.id}/rotate/").status_code == 200

    refused(ask(program, "6.01"), left="6.00")


@pytest.mark.django_db
def test_where_people_lower_the_budget_nothing_more_is_given_out_and_all_else_works() -> None:
    program = integration()
    key = made(program, "8.00")
    maker = ApiKey.objects.get(organization=program.tenant, kind="management")

    update(maker, {"budget": Budget(2 * USD, "month")}, actor=SYSTEM)

    problem(ask(program, "1.00"), 403, "budget_given_out")
    assert program.patch(f"keys/{key.id}/", {"name": "renamed"}).status_code == 200


@pytest.mark.parametrize("named", [True, False])
def test_keys_asked_for_at_once_do_not_pass_it_together(committed: None, named: bool) -> None:
    program = integration()
    statuses: list[int] = []
    begin = threading.Barrier(12)

    def call(number: int) -> None:
        mine = Program(program.tenant, program.secret)
        headers = {"Idempotency_Key": f"mint-{number}"} if named else {}
        begin.wait()
        body = {"name": "raced", "budget": {"amount": "3.00", "period": "month"}}
        statuses.append(mine.post("keys/", body, **headers).status_code)
        connections.close_all()

    threads = [threading.Thread(target=call, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert Counter(statuses) == {201: 3, 403: 9}
    assert ApiKey.objects.filter(organization=program.tenant, name="raced").count() == 3


@pytest.mark.django_db
def test_keys_from_before_count_for_the_program_that_the_audit_log_names() -> None:
    program = integration()
    key, persons = made(program, "8.00"), factories.key(program.tenant).key
    ApiKey.objects.update(maker=None)
    migration = import_module("keys.migrations.0008_maker")

    with connection.cursor() as cursor:
        cursor.execute(migration.BY_THE_LOG)

    assert ApiKey.objects.get(pk=key.pk).maker is not None
    assert ApiKey.objects.get(pk=persons.pk).maker is None
    refused(ask(program, "2.01"), left="2.00")
