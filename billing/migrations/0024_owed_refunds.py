"""Refunds made at Stripe are collected to the end; payments that wait take turns; the latest refill is found at once."""

from pathlib import Path

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

SQL = Path(__file__).resolve().parent.parent / "sql" / "0024"


class Migration(migrations.Migration):
    # The index is made while the ledger is written. What can be repeated comes first, should one step fail.
    atomic = False

    dependencies = [("billing", "0023_instructions")]

    operations = [
        # The version before is content with these as well: it withholds what it does not collect. Each is a transaction
        # of its own, so that no wallet waits for the trigger.
        migrations.RunSQL((SQL / "refunds.sql").read_text(), migrations.RunSQL.noop),
        migrations.RunSQL((SQL / "before.sql").read_text(), migrations.RunSQL.noop),
        AddIndexConcurrently(
            model_name="transfer",
            index=models.Index(
                condition=models.Q(("kind__in", ["top_up", "credit"])),
                fields=["organization", "sequence"],
                name="transfer_refills",
            ),
        ),
        migrations.AddField(
            model_name="topup",
            name="asked_at",
            field=models.DateTimeField(
                help_text="When Stripe was last asked how it stands.", null=True
            ),
        ),
        migrations.AlterField(
            model_name="account",
            name="frozen_nano",
            field=models.BigIntegerField(
                default=0,
                help_text="Of a wallet: what disputes and refunds made at Stripe withhold from new calls; may exceed what is there.",
            ),
        ),
    ]
