"""Incidents say their regions as programs know them, too; those that were are looked up by their names."""

import django.contrib.postgres.fields
from django.db import migrations, models

NAMED = """
UPDATE web_incident i SET region_slugs = coalesce(
    (SELECT array_agg(r.slug ORDER BY r.slug) FROM routing_region r WHERE r.name = ANY (i.regions)), '{}')
"""


class Migration(migrations.Migration):
    dependencies = [("web", "0004_notifications"), ("routing", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="incident",
            name="region_slugs",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=20),
                db_default=[],
                default=list,
                help_text="As programs know them.",
                size=None,
            ),
        ),
        migrations.AlterField(
            model_name="incident",
            name="regions",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=60),
                default=list,
                help_text="Their names.",
                size=None,
            ),
        ),
        migrations.RunSQL(NAMED, migrations.RunSQL.noop),
    ]
