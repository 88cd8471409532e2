"""``manage.py worker``: a Celery worker with the project's environment."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from tokenhub.celery import app


class Command(BaseCommand):
    """Run background jobs until told to stop."""

    help = "Run a Celery worker."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--concurrency", type=int, default=2)

    def handle(self, *, concurrency: int, **_: Any) -> None:
        app.worker_main(
            ["worker", "--loglevel=WARNING", f"--concurrency={concurrency}", "--without-mingle"]
        )
