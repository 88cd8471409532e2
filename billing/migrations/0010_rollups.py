"""Usage by day is written with the usage (a trigger), so that totals need not count a million rows."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql" / "0010"
UNDO = """
DROP TRIGGER roll_up_insert ON billing_usage;
DROP TRIGGER roll_up_update ON billing_usage;
DROP FUNCTION billing_roll_up_usage, billing_add_usage_days;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0009_usage_day")]

    operations = [
        migrations.RunSQL((SQL / "rollups.sql").read_text(), UNDO),
        migrations.RunSQL((SQL / "plans.sql").read_text(), migrations.RunSQL.noop),
    ]
