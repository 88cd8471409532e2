"""What somebody was shown is found when they leave."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("keys", "0006_retired_secret_shown_to")]

    operations = [
        AddIndexConcurrently(
            model_name="retiredsecret",
            index=models.Index(fields=["shown_to"], name="retired_secret_shown_to"),
        ),
    ]
