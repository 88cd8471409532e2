"""A disk that is full: no wrong charge, a clear error, and all is well when there is space again (T6)."""

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from accounts.models import Organization
from accounts.roles import Role
from billing.audit import audit
from billing.models import Usage
from keys.models import ApiKey
from tests import factories
from tests.api.program import Program, problem
from tests.conftest import new_gateway
from tests.live import Gateway, marker
from tests.load import Load
from tests.processes import eventually
from tests.security.small_disk import small_disk
from tokenhub.gateway.journal import SLOT_BYTES, SLOTS, Journal
from tokenhub.stack.redis import EmbeddedRedis

CREDIT = 10_000_000_000
Fault = tuple[Callable[[], None], Callable[[], None]]


def sql(statement: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []


@contextlib.contextmanager
def usage_on_a_small_disk(tenant: Organization) -> Iterator[Fault]:
    """This month's usage lies on a file system of its own; the rest of the database does not."""
    [(partition,)] = sql(
        "SELECT 'billing_usage_' || to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYYMM')"
    )
    space = f"small_{uuid.uuid4().hex[:8]}"
    [(data,)] = sql("SHOW data_directory")
    with small_disk(64) as disk:
        folder = disk.path / "tablespace"
        folder.mkdir()
        owner = os.stat(data)
        os.chown(folder, owner.st_uid, owner.st_gid)
        sql(f"CREATE TABLESPACE {space} LOCATION '{folder}'")
        sql(f"ALTER TABLE {partition} SET TABLESPACE {space}")
        try:
            yield disk.fill, disk.free
        finally:
            sql(f"ALTER TABLE {partition} SET TABLESPACE pg_default")
            sql("CHECKPOINT")  # what a tablespace is not empty of until then
            sql(f"DROP TABLESPACE {space}")


@contextlib.contextmanager
def usage_that_is_told_so(tenant: Organization) -> Iterator[Fault]:
    """Where nothing can be mounted: PostgreSQL's own error for it, for this tenant's rows."""
    name = f"disk_full_{uuid.uuid4().hex[:8]}"

    def fill() -> None:
        sql(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " RAISE EXCEPTION 'could not extend file: No space left on device'"
            " USING ERRCODE = 'disk_full'; END $$"
        )
        sql(
            f"CREATE TRIGGER {name} BEFORE INSERT ON billing_usage FOR EACH ROW"
            f" WHEN (NEW.organization_id = '{tenant.id[4:]}') EXECUTE FUNCTION {name}()"
        )

    def free() -> None:
        sql(f"DROP FUNCTION {name}() CASCADE")

    yield fill, free


def ready(gateway: Gateway) -> bool:
    return gateway.http.get(f"{gateway.url}/readyz").status_code == 200


@pytest.mark.parametrize("full", [usage_on_a_small_disk, usage_that_is_told_so])
def test_a_full_disk_of_the_database_bills_nothing_wrong_and_passes(
    gateway: Gateway, gateway_environ: dict[str, str], full: Any
) -> None:
    tenant = factories.organization(credit_nano=CREDIT)
    secret = factories.key(tenant).secret
    server = new_gateway(gateway_environ).start()
    other = Gateway(server.url, gateway.providers)
    mine = marker()
    try:
        with full(tenant) as (fill, free):
            load = Load(server.url, secret, workers=6).start()
            try:
                eventually(lambda: sum(outcome.complete for outcome in load.outcomes) > 30)
                fill()
                eventually(lambda: not ready(other), what="its knowing")
                refused = other.chat(secret, text=f"[[id={mine}]]")
                free()
                seen = len(load.outcomes)
                eventually(lambda: len(load.outcomes) > seen + 30, within_s=60)
            finally:
                outcomes = load.stop()
            assert eventually(lambda: other.chat(secret).status_code == 200, within_s=30)
    finally:
        server.stop()

    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "service_unavailable"
    # Once it is known, nothing is sent that could not be billed.
    assert gateway.providers.calls(marker=mine) == []
    assert {outcome.status for outcome in outcomes} <= {200, 503}
    delivered = {outcome.request_id for outcome in outcomes if outcome.complete}
    billed = set(
        Usage.objects.filter(organization=tenant, billed=True).values_list("id", flat=True)
    )
    assert len(delivered) > 60
    assert delivered <= billed
    assert audit(tenant) == []


def test_a_gateway_whose_own_disk_and_log_are_full_serves_and_bills(
    gateway: Gateway, gateway_environ: dict[str, str]
) -> None:
    tenant = factories.organization(credit_nano=CREDIT)
    secret = factories.key(tenant).secret
    # What it says of each call goes to a device that is always full.
    noisy = {**gateway_environ, "LOG_LEVEL": "DEBUG"}
    with small_disk(16) as disk:
        server = new_gateway(noisy, log=Path("/dev/full"), DATA_DIR=str(disk.path)).start()
        try:
            disk.fill()
            load = Load(server.url, secret, workers=6).start()
            eventually(lambda: len(load.outcomes) > 200, within_s=60)
            outcomes = load.stop()
        finally:
            server.stop()

    assert [outcome for outcome in outcomes if not outcome.complete] == []
    assert Usage.objects.filter(organization=tenant, billed=True).count() == len(outcomes)
    assert audit(tenant) == []


def test_a_journal_has_all_of_its_disk_before_the_first_call(tmp_path: Path) -> None:
    """A hole in it that the disk had no block for would end the process at the first mark there."""
    journal = Journal(tmp_path, "mine")

    assert os.stat(journal.path).st_blocks * 512 >= SLOTS * SLOT_BYTES
    journal.close()


def test_a_gateway_without_space_for_its_journal_says_so_and_leaves_nothing() -> None:
    with small_disk(1) as disk:
        disk.fill()
        with pytest.raises(OSError, match="No journal can be kept: No space left on device"):
            Journal(disk.path, "mine")

        assert list(disk.path.glob("*.journal")) == []


@pytest.fixture
def full_redis() -> Iterator[EmbeddedRedis]:
    """A Redis that cannot write its snapshot, and therefore takes no writes."""
    folder = Path(tempfile.mkdtemp(prefix="th-redis-"))
    folder.chmod(0o711)
    redis = EmbeddedRedis(folder)
    redis.start()
    with redis._client() as client:
        # A folder of that name cannot be replaced by a snapshot: the same error as that of a full disk.
        target = folder / "redis" / "data" / "taken"
        target.mkdir()
        (target / "x").touch()
        client.config_set("dbfilename", "taken")
        client.bgsave()
        eventually(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
        with pytest.raises(Exception, match="MISCONF"):
            client.set("x", 1)
    yield redis
    with redis._client() as client:
        client.config_set("dbfilename", "dump.rdb")  # it does not end before it could save
    redis.stop()
    shutil.rmtree(folder)


def test_a_redis_that_takes_no_writes_stops_neither_calls_nor_the_rest_api(
    gateway: Gateway, gateway_environ: dict[str, str], full_redis: EmbeddedRedis, settings: Any
) -> None:
    tenant = factories.organization(credit_nano=CREDIT)
    server = new_gateway({**gateway_environ, "REDIS_URL": full_redis.url}).start()
    try:
        answers = [
            Gateway(server.url, gateway.providers).chat(factories.key(tenant).secret)
            for _ in range(5)
        ]
    finally:
        server.stop()
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": full_redis.url}}
    program = Program.of(tenant, "read")

    assert [answer.status_code for answer in answers] == [200] * 5
    assert Usage.objects.filter(organization=tenant, billed=True).count() == 5
    assert audit(tenant) == []
    assert program.get("balance/").status_code == 200


def test_where_the_database_has_no_space_the_rest_api_and_pages_say_so_and_nothing_is_made(
    committed: None,
) -> None:
    tenant = factories.organization()
    owner = factories.member(tenant, Role.OWNER)
    name = f"disk_full_{uuid.uuid4().hex[:8]}"
    sql(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$"
    )
    sql(
        f"CREATE TRIGGER {name} BEFORE INSERT ON keys_apikey FOR EACH ROW"
        f" WHEN (NEW.organization_id = '{tenant.id[4:]}' AND NEW.name = 'mine')"
        f" EXECUTE FUNCTION {name}()"
    )
    client = Client(raise_request_exception=False)
    client.force_login(owner)
    try:
        refused = Program.of(tenant, "write").post("keys/", {"name": "mine"})
        page = client.post(f"/o/{tenant.slug}/keys/new/", {"name": "mine", "kind": "inference"})
    finally:
        sql(f"DROP FUNCTION {name}() CASCADE")

    problem(refused, 503, "service_unavailable")
    assert refused["Retry-After"]
    assert page.status_code in (500, 503)
    assert not ApiKey.objects.filter(organization=tenant, name="mine").exists()
