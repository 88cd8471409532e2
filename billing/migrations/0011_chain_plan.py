"""The chain's trigger finds the entry before by its index, also when it is planned outside the group commit."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql" / "0011"
UNDO = "ALTER FUNCTION billing_chain_transfer() RESET ALL;"


class Migration(migrations.Migration):
    dependencies = [("billing", "0010_rollups")]

    operations = [migrations.RunSQL((SQL / "chain_plan.sql").read_text(), UNDO)]
