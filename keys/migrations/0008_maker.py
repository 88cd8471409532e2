"""Which management key made a key: what its keys may spend together is bounded by its own budget.

Of the keys there are, the audit log says which program made them.
"""

import django.db.models.deletion
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

BY_THE_LOG = """
UPDATE keys_apikey k SET maker_id = m.id
  FROM accounts_auditevent e, keys_apikey m
 WHERE e.action = 'key.created' AND e.actor_kind = 'key' AND e.organization_id = k.organization_id
   AND e.target = 'key_' || replace(k.id::text, '-', '')
   AND e.actor = 'key_' || replace(m.id::text, '-', '')
   AND m.organization_id = k.organization_id AND m.kind = 'management' AND k.kind = 'inference'
"""


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("accounts", "0002_triggers"), ("keys", "0007_retired_secret_index")]

    operations = [
        migrations.AddField(
            model_name="apikey",
            name="maker",
            field=models.ForeignKey(
                db_index=False, editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL,
                related_name="+", to="keys.apikey",
                help_text="The management key whose budget this key's spending counts for; nobody: made by people.",
            ),
        ),
        migrations.RunSQL(BY_THE_LOG, migrations.RunSQL.noop),
        AddIndexConcurrently(
            model_name="apikey",
            index=models.Index(
                condition=models.Q(("maker__isnull", False)), fields=["maker"], name="key_by_maker"
            ),
        ),
    ]  # fmt: skip
