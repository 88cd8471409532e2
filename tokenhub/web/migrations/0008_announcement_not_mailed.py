"""What waits to be mailed is found among what was."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("web", "0007_mail_again")]

    operations = [
        AddIndexConcurrently(
            model_name="announcementmail",
            index=models.Index(
                fields=["id"], condition=models.Q(mailed_at=None), name="announcement_not_mailed"
            ),
        ),
    ]
