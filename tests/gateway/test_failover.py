"""A failover that leaves a gateway with a standby: it answers, and takes no writes."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from billing.audit import audit
from billing.models import Usage
from tests import factories
from tests.conftest import new_gateway
from tests.live import Gateway, Providers, marker
from tests.load import Load
from tests.processes import eventually

ROLE = f"failover_{uuid.uuid4().hex}"
"""This worker's own: what is done to it concerns no other gateway."""


def say(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def fail_over(read_only: str) -> None:
    say(f"ALTER ROLE {ROLE} SET default_transaction_read_only = {read_only}")
    say(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}'")


@pytest.fixture
def gateway(
    committed: None, gateway_environ: dict[str, str], providers: Providers, tmp_path: Path
) -> Iterator[Gateway]:
    say(f"CREATE ROLE {ROLE} SUPERUSER LOGIN")
    user = str(connection.settings_dict["USER"])
    own = {
        "DATABASE_URL": gateway_environ["DATABASE_URL"].replace(f"//{user}@", f"//{ROLE}@"),
        "DATA_DIR": str(tmp_path),
        "TOKENHUB_LEASE_TTL_S": "120",
    }
    server = new_gateway(gateway_environ, log=tmp_path / "log", **own).start()
    yield Gateway(server.url, providers)
    server.stop()
    say(f"DROP ROLE {ROLE}")


def ready(gateway: Gateway) -> bool:
    return gateway.http.get(f"{gateway.url}/readyz").status_code == 200


def test_nothing_is_sent_while_the_database_takes_no_writes(gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=10_000_000_000)
    secret = factories.key(tenant).secret
    load = Load(gateway.url, secret, workers=4).start()
    try:
        eventually(lambda: len(load.outcomes) > 20)

        fail_over("on")

        eventually(lambda: not ready(gateway))
        name = marker()
        answers = [gateway.chat(secret, text=f"[[id={name}]]") for _ in range(5)]
        assert {answer.status_code for answer in answers} == {503}
        assert gateway.providers.calls(marker=name) == []

        fail_over("off")
        served = sum(outcome.complete for outcome in load.outcomes)
        eventually(lambda: sum(one.complete for one in load.outcomes) > served + 20)
    finally:
        outcomes = load.stop()

    # What was under way then is delivered late, and not refused.
    assert {"could not be recorded" in outcome.refusal for outcome in outcomes} == {False}
    eventually(lambda: audit(tenant) == [], what="books that are in order")
    billed = Usage.objects.filter(organization=tenant, billed=True).values_list("id", flat=True)
    assert {outcome.request_id for outcome in outcomes if outcome.complete} == set(billed)


def test_it_comes_back_although_journals_cannot_be_read(gateway: Gateway, tmp_path: Path) -> None:
    # As on a disk that has become read-only: nothing there can be opened to be written to.
    (tmp_path / "gateway" / "dead.journal").mkdir()
    fail_over("on")
    eventually(lambda: not ready(gateway))

    fail_over("off")

    eventually(lambda: ready(gateway), what="its return")
