"""A plan model may promise regions, and then never routes outside them (promise 3)."""

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("routing", "0002_tell_gateways")]

    operations = [
        migrations.AddField(
            model_name="planmodel",
            name="regions",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=20),
                blank=True,
                default=list,
                help_text="Regions it promises: it never routes outside them. Empty promises none.",
                size=None,
            ),
        )
    ]
