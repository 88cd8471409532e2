"""What a result says of its way to a provider can make neither it nor its neighbours free."""

import asyncio
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from django.db import connection

from billing.models import Usage
from tests import factories
from tokenhub.gateway.errors import UnbillableResult
from tokenhub.gateway.journal import Journal
from tokenhub.gateway.settle import Result, Settler
from tokenhub.gateway.statement import PreparedLink

NUL = msgspec.Raw(b'{"excluded":[{"detail":"allowed providers: \\u0000"}]}')
OVERFLOWS = msgspec.Raw(b'{"number":1e999999}')
TOO_DEEP = msgspec.Raw(b"[" * 100_000 + b"]" * 100_000)


@pytest.fixture
def refusing(committed: None) -> Iterator[Callable[[str, int], None]]:
    """Lets the database refuse the next so many groups, with an SQLSTATE."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE SEQUENCE refused")

        def refuse(sqlstate: str, times: int) -> None:
            cursor.execute(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                f" IF nextval('refused') <= {times} THEN RAISE EXCEPTION USING ERRCODE = '{sqlstate}';"
                " END IF; RETURN NULL; END $$;"
                "CREATE TRIGGER refuse BEFORE INSERT ON billing_settlement EXECUTE FUNCTION refuse()"
            )

        yield refuse
        cursor.execute("DROP FUNCTION IF EXISTS refuse CASCADE; DROP SEQUENCE refused")


def leased(amount_nano: int) -> Result:
    """A result of an organization that has a lease for it."""
    tenant = factories.organization(credit_nano=amount_nano)
    said = json.dumps(factories.result(tenant, amount_nano, service_fee_bps=0))
    result = msgspec.json.decode(said, type=Result)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT granted FROM billing_draw_lease(%s, %s, 'test', %s, %s, 30)",
            [result.lease_id, tenant.id[4:], amount_nano, amount_nano],
        )
    return result


def settled(directory: Path, url: str, results: list[Result]) -> list[bool]:
    """Which of them were charged, in one group."""

    async def run() -> list[bool]:
        link = PreparedLink(url, "test")
        journal = Journal(directory, "mine")
        settler = Settler(link, journal)
        waits = [
            asyncio.ensure_future(settler.settle(result, lambda charged: None))
            for result in results
        ]
        settler.start()
        ends = await asyncio.gather(*waits, return_exceptions=True)
        await settler.stop()
        await link.close()
        journal.close(settler.undelivered.slots)
        assert all(isinstance(end, int | UnbillableResult) for end in ends)
        return [isinstance(end, int) for end in ends]

    return asyncio.run(run())


@pytest.mark.parametrize("routing", [NUL, OVERFLOWS, TOO_DEEP])
def test_a_trace_that_the_database_refuses_makes_nothing_free(
    committed: None, gateway_environ: dict[str, str], tmp_path: Path, routing: msgspec.Raw
) -> None:
    hostile, neighbour = leased(700), leased(900)
    hostile.routing = routing

    assert settled(tmp_path, gateway_environ["DATABASE_URL"], [hostile, neighbour]) == [True, True]

    charged = Usage.objects.filter(id__in=[hostile.id, neighbour.id], billed=True)
    assert sorted(charged.values_list("total_nano", flat=True)) == [700, 900]
    assert Usage.objects.get(id=neighbour.id).routing == {}


def test_a_result_that_is_wrong_in_itself_is_not_charged(
    committed: None, gateway_environ: dict[str, str], tmp_path: Path
) -> None:
    wrong, neighbour = leased(700), leased(900)
    wrong.lease_id = uuid.uuid4()  # nobody drew it
    wrong.model_fee_nano = -1

    assert settled(tmp_path, gateway_environ["DATABASE_URL"], [wrong, neighbour]) == [False, True]


@pytest.mark.parametrize(
    "sqlstate",
    [
        "25006",  # read-only: a standby, since a failover
        "40001",  # serialization failure
        "40P01",  # deadlock
        "42501",  # no privilege: rights or functions are being restored
        "53100",  # disk full
        "55P03",  # lock not available
        "57014",  # cancelled, or a time-out of the server's
        "57P01",  # shut down
        "58030",  # input or output failed
    ],
)
def test_what_a_server_that_is_in_trouble_refuses_is_charged_once_it_is_well(
    gateway_environ: dict[str, str],
    refusing: Callable[[str, int], None],
    tmp_path: Path,
    sqlstate: str,
) -> None:
    refusing(sqlstate, 3)

    assert settled(tmp_path, gateway_environ["DATABASE_URL"], [leased(700), leased(900)]) == [True, True]  # fmt: skip
