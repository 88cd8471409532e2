"""Writes to a provider's cache for an hour are a unit of their own, and count as tokens read."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql" / "0020"


class Migration(migrations.Migration):
    dependencies = [("billing", "0019_open_alerts")]

    operations = [
        # The version before knows no such unit, and its sums are the same by this function.
        migrations.RunSQL((SQL / "rollups.sql").read_text(), migrations.RunSQL.noop),
    ]
