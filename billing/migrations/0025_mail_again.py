"""A mail that fails is tried again later, and does not hold up the others'."""

import django.utils.timezone
from django.db import migrations, models
from django.db.models.functions import Now


class Migration(migrations.Migration):
    dependencies = [("billing", "0024_owed_refunds")]

    operations = [
        migrations.AddField(
            model_name="alert",
            name="mail_attempts",
            field=models.PositiveSmallIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddField(
            model_name="alert",
            name="mail_after",
            field=models.DateTimeField(
                db_default=Now(), default=django.utils.timezone.now, editable=False
            ),
        ),
    ]
