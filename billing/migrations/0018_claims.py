"""Idempotency keys of ``/v1``: the table, who gets a key, and no charge without it.

Their functions come after what they replace; a gateway of the release before goes on without keys.
"""

from pathlib import Path

import accounts.ids
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

SQL = Path(__file__).resolve().parent.parent / "sql"
UNDO = """
DROP FUNCTION billing_claim_key, billing_end_claims, billing_lost_claims, billing_is_answered;
ALTER TYPE billing_result DROP ATTRIBUTE claimed;
"""


def before(path: str, beginning: str, end: str | None = None) -> str:
    """A function as an earlier file has it, to take the place of ours again."""
    text = (SQL / path).read_text()
    found = text[text.index(beginning) : text.index(end) if end else None]
    return found.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0004_last_owner'),
        ('billing', '0017_leaked_keys'),
    ]

    operations = [
        migrations.CreateModel(
            name='Claim',
            fields=[
                ('request', accounts.ids.PrefixedIdField(db_column='request_id', editable=False, prefix='req', primary_key=True, serialize=False)),
                ('key', models.BinaryField(help_text='SHA-256 of the key.')),
                ('content', models.BinaryField(help_text='Keyed digest of path and body.')),
                ('holder', models.CharField(help_text='The database session of the gateway that serves it.', max_length=80)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('finished_at', models.DateTimeField(null=True)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization')),
            ],
            options={
                'indexes': [models.Index(fields=['created_at'], name='claim_by_age')],
                'constraints': [models.UniqueConstraint(fields=('organization', 'key'), name='claim_of_a_key')],
            },
        ),
        migrations.RunSQL((SQL / "0018" / "claims.sql").read_text(), UNDO),
        migrations.RunSQL(
            (SQL / "0018" / "settle.sql").read_text(),
            before("0016/settle.sql", "-- Record and charge a group"),
        ),
        migrations.RunSQL(
            (SQL / "0018" / "task.sql").read_text(),
            before("0014/tasks.sql", "-- Put a task on record", "-- How a task ended."),
        ),
    ]
