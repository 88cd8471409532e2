"""A secret that was rotated out does what its own reader may, and goes when they leave (promise 4).

Of the secrets that are in their grace now, only a key's first is known to have been its creator's. Who was shown a
later one was not kept: its grace ends here. Gateways hear of it.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

END_WHAT_IS_NOBODYS = """
UPDATE keys_retiredsecret s SET expires_at = greatest(now(), s.retired_at)
 WHERE s.expires_at > now()
   AND EXISTS (SELECT FROM keys_retiredsecret before WHERE before.key_id = s.key_id AND before.id < s.id)
"""


class Migration(migrations.Migration):
    dependencies = [
        ("keys", "0005_playground"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name="apikey",
            name="rotated_by",
            field=models.ForeignKey(
                editable=False, help_text="Who was shown the present secret; nobody: who created the key.",
                null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="retiredsecret",
            name="shown_to",
            field=models.ForeignKey(
                db_index=False, editable=False, help_text="Who was shown this secret; nobody: who created the key.",
                null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.RunSQL(END_WHAT_IS_NOBODYS, migrations.RunSQL.noop),
    ]  # fmt: skip
