"""The legal pages have a first version; operators add theirs in the admin."""

from datetime import date
from pathlib import Path

from django.db import migrations

TEXTS = Path(__file__).resolve().parent.parent / "legal"


def write(apps, schema_editor):
    LegalText = apps.get_model("web", "LegalText")
    for page in ("terms", "privacy", "sla", "dpa"):
        LegalText.objects.get_or_create(
            page=page,
            effective_from=date(2026, 11, 1),
            defaults={"body": (TEXTS / f"{page}.md").read_text()},
        )


class Migration(migrations.Migration):
    dependencies = [("web", "0001_initial")]

    operations = [migrations.RunPython(write, migrations.RunPython.noop)]
