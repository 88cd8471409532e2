"""``manage.py audit_ledger`` on committed rows."""

import io

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from billing.audit import audit
from tests import factories


def test_audit_ledger_says_what_it_checked(committed: None) -> None:
    factories.organization(credit_nano=5)
    _unbill_what_has_no_ledger()
    out = io.StringIO()

    call_command("audit_ledger", stdout=out)

    assert "no difference" in out.getvalue()


def _unbill_what_has_no_ledger() -> None:
    """Pages are tested with requests on record that nobody paid for, and committed rows stay."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE billing_usage u SET billed = false, status = 'failed' WHERE billed AND NOT EXISTS ("
            " SELECT FROM billing_transfer t WHERE t.organization_id = u.organization_id"
            " AND t.reference = 'req_' || replace(u.id::text, '-', ''))"
        )


def test_a_difference_is_named_and_the_exit_is_not_zero(committed: None) -> None:
    tenant = factories.organization(credit_nano=5)
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(
            "UPDATE billing_account SET balance_nano = 6 WHERE kind = 'wallet' AND organization_id = %s",
            [tenant.id[4:]],
        )
    out = io.StringIO()

    try:
        with pytest.raises(CommandError, match="differences"):
            call_command("audit_ledger", stdout=out)
    finally:
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE billing_account SET balance_nano = 5 WHERE kind = 'wallet' AND organization_id = %s",
                [tenant.id[4:]],
            )
            cursor.execute("SET session_replication_role = origin")

    assert f"{tenant.id[4:8]}" in out.getvalue()
    assert "expected 5, found 6" in out.getvalue()


def test_a_long_walk_says_how_far_it_is(committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.audit.REPORT_EVERY", 2)
    tenant = factories.organization()
    for _ in range(5):
        factories.credit(tenant, 1)
    told: list[tuple[int, int]] = []

    audit(tenant, progress=lambda done, total: told.append((done, total)))

    assert told == [(2, 5), (4, 5)] or told[-1] == (5, 5)
