"""Document numbers are never given back."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql" / "0008"
UNDO = "DROP TRIGGER guard ON billing_series; DROP TRIGGER never_emptied ON billing_series; DROP FUNCTION billing_guard_series();"


class Migration(migrations.Migration):
    dependencies = [("billing", "0007_chain")]

    operations = [migrations.RunSQL((SQL / "series.sql").read_text(), UNDO)]
