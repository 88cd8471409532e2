"""What a gateway gives back is never less than nothing, whatever became durable on its way."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql" / "0021"


class Migration(migrations.Migration):
    dependencies = [("billing", "0020_cache_write_1h")]

    operations = [
        # The version before is content with these as well.
        migrations.RunSQL((SQL / "return.sql").read_text(), migrations.RunSQL.noop),
    ]
