"""A database that is there and says nothing: paused, or behind a network that loses everything."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from billing.audit import audit
from billing.models import Usage
from tests import factories
from tests.conftest import new_gateway
from tests.live import Gateway, Providers, marker
from tests.load import Load, at_once
from tests.processes import eventually
from tests.relay import Relay

CREDIT = 10_000_000_000


class Silenced(Gateway):
    """A gateway that reaches its database over a wire which can fall silent."""

    relay: Relay
    log: Path


@pytest.fixture
def silenced(
    committed: None, gateway_environ: dict[str, str], providers: Providers, tmp_path: Path
) -> Iterator[Silenced]:
    options = connection.settings_dict
    port = options["PORT"] or 5432
    with Relay(f"{options['HOST']}/.s.PGSQL.{port}") as relay:
        url = f"postgres://{options['USER']}@127.0.0.1:{relay.port}/{options['NAME']}"
        log = tmp_path / "log"
        own = {"DATABASE_URL": url, "DATA_DIR": str(tmp_path), "TOKENHUB_LEASE_TTL_S": "120"}
        server = new_gateway(gateway_environ, log=log, **own).start()
        gateway = Silenced(server.url, providers)
        gateway.relay, gateway.log = relay, log
        yield gateway
        relay.speak()
        server.stop()


def refused(gateway: Gateway, secret: str) -> bool:
    answer = gateway.chat(secret)
    return answer.status_code == 503 and answer.json()["error"]["code"] == "service_unavailable"


def test_what_nobody_can_bill_is_sent_to_nobody(silenced: Silenced) -> None:
    tenant = factories.organization(credit_nano=CREDIT)
    secret = factories.key(tenant).secret
    load = Load(silenced.url, secret, workers=8).start()
    try:
        eventually(lambda: len(load.outcomes) > 20)

        silenced.relay.fall_silent()

        eventually(lambda: silenced.http.get(f"{silenced.url}/readyz").status_code == 503)
        # By its own clock: it does not wait until psycopg has given the silent server up.
        assert "not terminated after cancellation" not in silenced.log.read_text()
        name = marker()
        answers = [silenced.chat(secret, text=f"[[id={name}]]") for _ in range(5)]
        assert {answer.status_code for answer in answers} == {503}
        assert silenced.providers.calls(marker=name) == []

        silenced.relay.speak()
        served = sum(outcome.complete for outcome in load.outcomes)
        eventually(lambda: sum(one.complete for one in load.outcomes) > served + 20, within_s=60)
    finally:
        silenced.relay.speak()
        outcomes = load.stop()

    delivered = {outcome.request_id for outcome in outcomes if outcome.complete}
    eventually(lambda: audit(tenant) == [], what="books that are in order")
    billed = Usage.objects.filter(organization=tenant, billed=True).values_list("id", flat=True)
    assert delivered == set(billed)


def test_keys_that_are_not_in_memory_are_refused_and_do_not_queue(silenced: Silenced) -> None:
    tenant = factories.organization(credit_nano=CREDIT)
    secrets = [factories.key(tenant).secret for _ in range(12)]

    silenced.relay.fall_silent()

    # In turn they would wait for the time-out of each that came before.
    assert all(at_once(len(secrets), lambda number: refused(silenced, secrets[number])))
    silenced.relay.speak()
    eventually(lambda: silenced.chat(secrets[0]).status_code == 200, within_s=60)
