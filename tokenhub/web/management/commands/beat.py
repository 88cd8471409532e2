"""``manage.py beat``: the Celery scheduler with the project's environment."""

from typing import Any

from celery.apps.beat import Beat
from django.conf import settings
from django.core.management.base import BaseCommand

from tokenhub.celery import app


class Command(BaseCommand):
    """Send scheduled jobs to the workers until told to stop; run exactly one."""

    help = "Run the Celery scheduler."

    def handle(self, **_: Any) -> None:
        settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
        Beat(
            app=app,
            loglevel="WARNING",
            schedule=str(settings.DATA_DIR / "beat-schedule"),
            scheduler="tokenhub.schedule:Scheduler",
            quiet=True,
        ).run()
