"""Media tasks outside the gateway: claim what is due to be looked at, note what was seen, end what ended."""

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Q

from accounts.models import Organization
from accounts.webhooks.events import emit
from billing.models import MediaTask
from billing.money import service_fee_nano

KEEP_URL = timedelta(hours=48)
"""Addresses of results are kept no longer: by then, they lead nowhere."""
BACK = timedelta(minutes=10)
"""No task is told to wait for so long beyond its pace."""


@dataclass(frozen=True, slots=True)
class End:
    """How a task ended. What a success costs is what it used, at the price fixed when it was created."""

    status: str
    error_code: str = ""
    error_message: str = ""
    media_url: str = ""
    units: dict[str, int] = field(default_factory=dict)
    lines: list[dict[str, Any]] = field(default_factory=list)
    model_fee_nano: int = 0
    service_fee_nano: int = 0


@transaction.atomic
def claim_due(now: datetime, *, limit: int, again_after: timedelta) -> list[MediaTask]:
    """Open tasks that are due to be looked at, each for one caller; the next look is set.

    The older a task, the rarer it is looked at: after ten looks at half the pace, after forty at a quarter.
    """
    due = list(
        MediaTask.objects.select_for_update(skip_locked=True)
        # Further ahead than any pace is a time from before the clock was set back.
        .filter(
            Q(next_poll_at__lte=now) | Q(next_poll_at__gt=now + again_after * 4 + BACK),
            status__in=MediaTask.OPEN,
        )
        .order_by("next_poll_at")[:limit]
    )
    for task in due:
        pace = 1 if task.polls < 10 else 2 if task.polls < 40 else 4
        MediaTask.objects.filter(pk=task.pk).update(
            next_poll_at=now + again_after * pace, polls=F("polls") + 1
        )
    return due


def note_running(task: MediaTask) -> None:
    """The provider is at it."""
    MediaTask.objects.filter(pk=task.pk, status=MediaTask.Status.PENDING).exclude(
        upstream_id=""
    ).update(status=MediaTask.Status.RUNNING)


@transaction.atomic
def finish(task: MediaTask, end: End) -> bool:
    """End a task: its usage on record, its charge or none, its hold returned, and whoever wants to know
    told. The first end is the end; returns whether this was it.
    """
    values = {name: getattr(end, name) for name in End.__slots__}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT billing_finish_task(%s, %s::json)",
            [str(task.id).removeprefix("task_"), json.dumps(values)],
        )
        (is_first,) = cursor.fetchone()
    if is_first:
        told = {"id": task.id, "status": end.status, "model": task.model}
        emit(task.organization, f"video.task.{end.status}", told)
    return bool(is_first)


def fee_of(task: MediaTask, model_fee_nano: int) -> tuple[int, int]:
    """A model fee and its service fee, together at most what the task was quoted (nano-USD)."""
    fee_nano = service_fee_nano(model_fee_nano, task.service_fee_bps)
    if model_fee_nano + fee_nano <= task.quoted_nano:
        return model_fee_nano, fee_nano
    model_fee_nano = task.quoted_nano * 10_000 // (10_000 + task.service_fee_bps)
    return model_fee_nano, task.quoted_nano - model_fee_nano


def task_of(organization: Organization, task_id: str) -> MediaTask | None:
    """An organization's task by its id, or by that of the request that created it."""
    tasks = MediaTask.objects.for_organization(organization)
    found: MediaTask | None = tasks.by_id(task_id.replace("req_", "task_", 1))
    return found


def open_tasks(organization: Organization, limit: int = 20) -> list[MediaTask]:
    """What is on its way, the newest first."""
    tasks = MediaTask.objects.for_organization(organization)
    return list(tasks.filter(status__in=MediaTask.OPEN).defer("attempts", "routing")[:limit])


def forget_urls(now: datetime) -> int:
    """Drop the addresses of results that are no use any more; how many."""
    return (
        MediaTask.objects.filter(status=MediaTask.Status.SUCCEEDED, finished_at__lt=now - KEEP_URL)
        .exclude(media_url="")
        .update(media_url="")
    )
