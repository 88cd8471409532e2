"""Months of usage can be archived: their rows in a file, their sums sealed here."""

from pathlib import Path

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

SQL = Path(__file__).resolve().parent.parent / "sql" / "0027"


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0006_checklist"),
        ("billing", "0026_turns"),
    ]

    operations = [
        migrations.CreateModel(
            name="ArchivedMonth",
            fields=[
                (
                    "month",
                    models.DateField(help_text="Its first day.", primary_key=True, serialize=False),
                ),
                (
                    "digest",
                    models.CharField(
                        help_text="SHA-256 of the file's uncompressed lines.", max_length=64
                    ),
                ),
                ("archived_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "ordering": ["-month"],
            },
        ),
        migrations.CreateModel(
            name="ArchivedUsage",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("requests", models.BigIntegerField()),
                ("billed", models.BigIntegerField()),
                ("model_fee_nano", models.BigIntegerField()),
                ("service_fee_nano", models.BigIntegerField()),
                (
                    "month",
                    models.ForeignKey(
                        db_column="month",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="sums",
                        to="billing.archivedmonth",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.organization",
                    ),
                ),
            ],
            options={
                "ordering": ["month"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "month"), name="archived_usage_once_a_month"
                    )
                ],
            },
        ),
        # The version before knows nothing of these and needs nothing of them.
        migrations.RunSQL((SQL / "archive.sql").read_text(), migrations.RunSQL.noop),
    ]
