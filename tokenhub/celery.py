"""The Celery application; its settings are those of Django."""

import os
from typing import Any

from celery import Celery, signals
from django_structlog.celery.steps import DjangoStructLogInitStep

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tokenhub.settings")

app = Celery("tokenhub")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# Each event of a job carries its task's id, and the id of the request that asked for it.
app.steps["worker"].add(DjangoStructLogInitStep)


@signals.setup_logging.connect(dispatch_uid="tokenhub.log")
def keep_logging(**_: Any) -> None:
    """The log is set up by the settings: being asked keeps Celery from setting its own level."""


@signals.worker_process_init.connect(dispatch_uid="tokenhub.report")
def report(**_: Any) -> None:
    """A worker's process sends errors and traces of its own."""
    from tokenhub import tracing

    tracing.start("worker")


@signals.worker_process_shutdown.connect(dispatch_uid="tokenhub.report")
def report_the_rest(**_: Any) -> None:
    """What is waiting to be sent goes before the process does."""
    from tokenhub import tracing

    tracing.stop()
