"""The ledger's hash chain: whoever holds a statement sees what was changed, without us."""

import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from accounts.models import Organization
from billing.audit import audit
from billing.models import Transfer
from billing.statement import statement_csv
from tests import factories

pytestmark = pytest.mark.django_db
SCRIPT = settings.BASE_DIR / "static" / "verify_statement.py"


def lived_in() -> Organization:
    tenant = factories.organization(credit_nano=10**9)
    factories.top_up(tenant)
    for number in range(5):
        factories.charge(tenant, 1_000 + number, model="=1+1, “quoted” 模型")
    return tenant


def verify(*files: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-I", SCRIPT, *files], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def export(tenant: Organization, path: Path) -> Path:
    path.write_text("".join(statement_csv(tenant)), newline="")
    return path


def as_superuser(statement: str, tenant: Organization) -> None:
    """Past every trigger, as only somebody with the whole database can."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(statement, [tenant.id[4:]])
        cursor.execute("SET LOCAL session_replication_role = origin")


def test_the_script_is_short_and_needs_nothing() -> None:
    source = SCRIPT.read_text()

    assert len(source.splitlines()) <= 40
    assert "import django" not in source


def test_a_statement_is_verified_offline(tmp_path: Path) -> None:
    code, said = verify(export(lived_in(), tmp_path / "s.csv"))

    assert (code, "7 entries" in said) == (0, True)


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE billing_transfer SET amount_nano = amount_nano + 1 WHERE sequence = 4 AND organization_id = %s",
        "UPDATE billing_transfer SET description = 'other' WHERE sequence = 4 AND organization_id = %s",
        "UPDATE billing_transfer SET created_at = created_at + interval '1 day' WHERE sequence = 4 AND organization_id = %s",
        "UPDATE billing_transfer SET hash = sha256('x') WHERE sequence = 4 AND organization_id = %s",
        "DELETE FROM billing_transfer WHERE sequence = 4 AND organization_id = %s",
        "DELETE FROM billing_transfer WHERE sequence = 7 AND organization_id = %s",
    ],
)
def test_what_a_superuser_altered_is_found(tampering: str, tmp_path: Path) -> None:
    tenant = lived_in()
    before = export(tenant, tmp_path / "before.csv")

    as_superuser(tampering, tenant)
    after = export(tenant, tmp_path / "after.csv")

    assert audit(tenant) != []
    assert verify(after, before)[0] != 0
    assert verify(before)[0] == 0


def test_a_whole_history_that_is_chained_anew_is_found_by_who_holds_the_old_one(
    tmp_path: Path,
) -> None:
    tenant = lived_in()
    before = export(tenant, tmp_path / "before.csv")
    as_superuser("UPDATE billing_transfer SET description = 'x' WHERE organization_id = %s", tenant)
    as_superuser(
        """DO $$ DECLARE e billing_transfer; b bytea := ''; BEGIN
             FOR e IN SELECT * FROM billing_transfer ORDER BY organization_id, sequence LOOP
               IF e.sequence = 1 THEN b := ''; END IF;
               b := billing_chain(b, e); UPDATE billing_transfer SET hash = b WHERE id = e.id;
             END LOOP; END $$ -- %s""",
        tenant,
    )
    after = export(tenant, tmp_path / "after.csv")

    assert verify(after)[0] == 0
    assert "history was changed" in verify(after, before)[1]


def test_an_earlier_statement_is_the_beginning_of_a_later_one(tmp_path: Path) -> None:
    tenant = lived_in()
    before = export(tenant, tmp_path / "before.csv")
    factories.charge(tenant, 5)

    assert verify(export(tenant, tmp_path / "after.csv"), before)[0] == 0


def test_the_database_chains_whoever_writes() -> None:
    tenant = factories.organization()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO billing_transfer (organization_id, kind, debit_account, credit_account, amount_nano,"
            " balance_after_nano, sequence, reference, description, created_at, hash)"
            " VALUES (%s, 'credit', 'credit', 'wallet', 5, 5, 1, 'r', '', now(), 'forged')",
            [tenant.id[4:]],
        )

    assert bytes(Transfer.objects.get(organization=tenant).hash) != b"forged"
    assert audit(tenant) == []
