"""Open alerts are looked through every few seconds for those that are so no longer."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("billing", "0018_claims")]

    operations = [
        AddIndexConcurrently(
            model_name="alert",
            index=models.Index(
                condition=models.Q(("dismissed_at", None)), fields=["kind"], name="alert_open"
            ),
        ),
    ]
