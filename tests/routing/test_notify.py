"""What changes is told to every gateway at the commit, whoever wrote it."""

import psycopg

from accounts.audit import SYSTEM
from routing.services import set_preferences
from tests import factories
from tests.conftest import database_url


def test_gateways_hear_of_changes_at_the_commit(committed: None, catalogue: None) -> None:
    tenant = factories.organization()
    with psycopg.connect(database_url(), autocommit=True) as listener:
        listener.execute("LISTEN tokenhub_changes")

        set_preferences(
            tenant, {"allowed_regions": ["eu"]}, actor=SYSTEM, compliance_extension=False
        )

        uuid = tenant.id.removeprefix("org_")
        told = {n.payload.replace("-", "") for n in listener.notifies(timeout=5, stop_after=1)}
    assert told == {f"organization:{uuid}"}
