"""Months of usage are made while charges go on, and a group that is charged spends no money twice."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql" / "0022"


class Migration(migrations.Migration):
    dependencies = [("billing", "0021_returns")]

    operations = [
        # The version before is content with these as well.
        migrations.RunSQL((SQL / name).read_text(), migrations.RunSQL.noop)
        for name in ("usage.sql", "settle.sql")
    ]
