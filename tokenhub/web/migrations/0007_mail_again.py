"""Whom an announcement is mailed to is written down before, and that it was, after: what fails is tried again.

The version before writes a row as it sends, then and while this one is rolled out: what does not say that it waits
was mailed.
"""

import django.utils.timezone
from django.db import migrations, models
from django.db.models.functions import Now


class Migration(migrations.Migration):
    dependencies = [("web", "0006_offering_day")]

    operations = [
        migrations.AddField(
            model_name="announcementmail",
            name="mailed_at",
            field=models.DateTimeField(db_default=Now(), null=True),
        ),
        migrations.AddField(
            model_name="announcementmail",
            name="mail_attempts",
            field=models.PositiveSmallIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddField(
            model_name="announcementmail",
            name="mail_after",
            field=models.DateTimeField(
                db_default=Now(), default=django.utils.timezone.now, editable=False
            ),
        ),
    ]
