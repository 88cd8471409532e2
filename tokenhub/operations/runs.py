"""Notes how every background job runs, and tells which ones are late.

The notes are written by Celery's own signals, in the worker, around each run. A note that cannot be
written never stops a job: Celery logs the error of a receiver and goes on.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from celery import signals
from django.conf import settings
from django.db.models import F
from django.utils import timezone

from tokenhub.operations.models import TaskRun
from tokenhub.redact import redacted

Outcome = TaskRun.Outcome
# Longer than any job may take (``CELERY_TASK_TIME_LIMIT``): a run without an end was killed.
LATE_AFTER_PERIODS = 3
AT_LEAST = timedelta(minutes=2)


@signals.task_prerun.connect(dispatch_uid="operations.begun")
def begun(task_id: str, task: Any, **_: Any) -> None:
    """A run begins."""
    now = timezone.now()
    changed = TaskRun.objects.filter(task=task.name).update(
        run_id=task_id, outcome=Outcome.RUNNING, started_at=now, finished_at=None, duration_ms=None,
        runs=F("runs") + 1,
    )  # fmt: skip
    if not changed:
        TaskRun.objects.get_or_create(
            task=task.name,
            defaults={"run_id": task_id, "outcome": Outcome.RUNNING, "started_at": now, "runs": 1},
        )


@signals.task_postrun.connect(dispatch_uid="operations.ended")
def ended(task_id: str, task: Any, retval: Any = None, state: str = "", **_: Any) -> None:
    """A run ended, well or not. Where another one began meanwhile, the note stays that one's."""
    now = timezone.now()
    mine = TaskRun.objects.filter(task=task.name, run_id=task_id)
    started = mine.values_list("started_at", flat=True).first()
    if started is None:
        return
    took = {"finished_at": now, "duration_ms": round((now - started).total_seconds() * 1000)}
    if state == "SUCCESS":
        said = "" if retval is None else str(retval)
        mine.update(outcome=Outcome.SUCCEEDED, succeeded_at=now, result=said[:200], **took)
    else:
        why = f"{type(retval).__name__}: {retval}" if isinstance(retval, Exception) else state
        mine.update(
            outcome=Outcome.FAILED, failed_at=now, error=redacted(why)[:500],
            failures=F("failures") + 1, **took,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Job:
    """A scheduled job with its last run; ``run`` is None where it never ran."""

    name: str
    task: str
    period: timedelta
    run: TaskRun | None
    state: str
    """``ok``, ``failed``, ``late`` (no success for three periods), ``killed`` or ``never``."""


def jobs() -> list[Job]:
    """Every job of the schedule, by name. One query."""
    now = timezone.now()
    runs = TaskRun.objects.in_bulk()
    return [
        Job(name, entry["task"], period, runs.get(entry["task"]), _state(runs.get(entry["task"]), period, now))
        for name, entry in sorted(settings.CELERY_BEAT_SCHEDULE.items())
        for period in [_period(entry["schedule"])]
    ]  # fmt: skip


def _period(schedule: Any) -> timedelta:
    """How often a job is to run; a time of day is once a day."""
    seconds = schedule if isinstance(schedule, int | float) else 86_400
    return timedelta(seconds=seconds)


def _state(run: TaskRun | None, period: timedelta, now: datetime) -> str:
    if run is None:
        return "never"
    limit = timedelta(seconds=settings.CELERY_TASK_TIME_LIMIT)
    if run.outcome == Outcome.RUNNING and now - run.started_at > limit + AT_LEAST:
        return "killed"
    if run.outcome == Outcome.FAILED:
        return "failed"
    if now - (run.succeeded_at or run.started_at) > max(LATE_AFTER_PERIODS * period, AT_LEAST):
        return "late"
    return "ok"
