"""What a result says of its way to a provider can make neither it nor its neighbours free."""

import asyncio
import json
import uuid
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


@pytest.mark.parametrize("routing", [NUL, OVERFLOWS])
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
