"""The ledger's triggers, the usage partitions, leases and the group commit (promises 1, 2 and 6).

Below Python on purpose: PostgreSQL itself refuses an oversold wallet, a changed entry, a transfer
that does not continue its wallet, and a group that is applied twice.
"""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql" / "0002"

UNDO = {
    "ledger.sql": """
        DROP TRIGGER guard ON billing_account;
        DROP TRIGGER never_emptied ON billing_account;
        DROP TRIGGER append_only ON billing_transfer;
        DROP TRIGGER apply ON billing_transfer;
        DROP TRIGGER apply_insert ON billing_lease;
        DROP TRIGGER apply_update ON billing_lease;
        DROP TRIGGER guard ON billing_lease;
        DROP TRIGGER never_emptied ON billing_lease;
        DROP FUNCTION billing_guard_account, billing_refuse_change, billing_apply_transfers,
            billing_apply_leases, billing_guard_lease;
        DROP FUNCTION billing_open_nano(billing_lease);
    """,
    "usage.sql": """
        DROP TABLE billing_usage;
        DROP FUNCTION billing_guard_usage, billing_keep_usage_partitions, billing_uuid_at;
    """,
    "leases.sql": "DROP FUNCTION billing_draw_lease, billing_return_lease, billing_reap_leases;",
    "settle.sql": "DROP FUNCTION billing_settle; DROP TYPE billing_result;",
}


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial")]

    operations = [
        migrations.RunSQL((SQL / name).read_text(), undo) for name, undo in UNDO.items()
    ]
