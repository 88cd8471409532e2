"""Follow every open task to its end, whether or not anybody asks for it.

Two workers never look at the same task in the same moment, and if they did: a task ends once, in the
database. Asking is all that is done outside of it.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import OperationalError
from django.utils import timezone

from billing import media
from billing.models import MediaTask
from routing.credentials import secret_of
from routing.health import Target, targets
from routing.pricing import fee_lines
from routing.types import Price, PriceComponent
from tokenhub.gateway.dialects.base import InvalidResult
from tokenhub.gateway.media.urls import checked
from tokenhub.gateway.media.video_dialects import DIALECTS, Progress
from tokenhub.gateway.upstream import Client, Origin, UpstreamError

log = structlog.get_logger(__name__)

LIMIT = 100
AT_ONCE = 20
LOOK_WITHIN_S = 10.0
MAX_ANSWER_BYTES = 1024 * 1024
BEGUN_WITHIN = timedelta(minutes=10)
"""No creation takes longer: where no provider's name for a task is on record by then, its gateway died."""


def follow(now: datetime | None = None, *, limit: int = LIMIT) -> int:
    """Look at the open tasks that are due, and end those that ended; how many were looked at.

    What goes wrong with one task stops no other; where it was in applying what was seen, it is raised at the end.
    """
    now = now or timezone.now()
    due = media.claim_due(now, limit=limit, again_after=timedelta(seconds=settings.TASK_POLL_S))
    begun = [task for task in due if task.upstream_id]
    seen: dict[str, Progress | None] = {}
    if begun:
        places = {place.offering: place for place in targets(task.offering or 0 for task in begun)}
        looks = asyncio.run(_look_at(begun, places))
        seen = {task.id: progress for task, progress in zip(begun, looks, strict=True)}
    errors = [error for task in due for error in _bring_on(task, seen.get(task.id), now)]
    if errors:
        raise ExceptionGroup("Tasks could not be brought on", errors)
    return len(due)


def _bring_on(task: MediaTask, progress: Progress | None, now: datetime) -> list[Exception]:
    """Apply what was seen; where that fails, its deadline all the same. What went wrong."""
    try:
        _apply(task, progress, now)
    except Exception as error:
        log.exception("task_not_applied", task=task.id, error=type(error).__name__)
        # The database's own trouble says nothing of the task: it is looked at again.
        again = progress is not None and not isinstance(error, OperationalError)
        return [error, *(_bring_on(task, None, now) if again else [])]
    return []


async def _look_at(tasks: list[MediaTask], places: Mapping[int, Target]) -> list[Progress | None]:
    client, turns = Client(), asyncio.Semaphore(AT_ONCE)

    async def look(task: MediaTask) -> Progress | None:
        place = places.get(task.offering or 0)
        if place is None:
            return None
        async with turns:
            try:
                async with asyncio.timeout(LOOK_WITHIN_S):
                    return await _ask(client, place, task)
            except (UpstreamError, TimeoutError, InvalidResult) as error:
                outcome = getattr(error, "outcome", "timeout")
                log.info("task_not_seen", task=task.id, provider=task.provider, outcome=outcome)
            except Exception as error:
                log.exception("task_not_looked_at", task=task.id, error=type(error).__name__)
            return None

    try:
        return await asyncio.gather(*(look(task) for task in tasks))
    finally:
        client.close()


async def _ask(client: Client, place: Target, task: MediaTask) -> Progress:
    """What the provider says of a task. A success that leads nowhere is a failure."""
    dialect = DIALECTS[place.dialect]
    response = await client.get(
        Origin.parse(place.base_url),
        dialect.poll_path(task.upstream_id),
        dialect.headers(secret_of(place.secrets, task.credential)),
        first_byte_timeout_s=LOOK_WITHIN_S,
    )
    async with response:
        if response.status != 200:
            raise UpstreamError(f"http_{response.status}")
        body = await response.read(LOOK_WITHIN_S)
    if len(body) > MAX_ANSWER_BYTES:
        raise InvalidResult("malformed")
    progress = dialect.progress(body)
    if progress.status == "succeeded" and not progress.ours:
        try:
            if not progress.url:
                raise InvalidResult("empty")
            await checked(progress.url)
        except InvalidResult:
            return Progress("failed", words="The provider's result cannot be opened.")
    return progress


def _apply(task: MediaTask, progress: Progress | None, now: datetime) -> None:
    if not task.upstream_id:
        if now - task.created_at > BEGUN_WITHIN:
            _fail(task, "creation_unknown", "Nobody can say whether a provider began this video.")
        return
    match progress:
        case Progress(status="succeeded"):
            _succeed(task, progress)
        case Progress(status="failed"):
            _fail(task, "provider_failed", progress.words or "The provider gave no reason.")
        case _ if now >= task.deadline_at:
            _fail(task, "deadline_exceeded", "The video was not ready in time.")
        case Progress(status="running"):
            media.note_running(task)


def _succeed(task: MediaTask, progress: Progress) -> None:
    """Charge what was delivered, and no more than was asked for, at the price of the creation."""
    price = Price(
        task.price_version or 0,
        tuple(PriceComponent(unit, amount_nano) for unit, amount_nano in task.price.items()),
    )
    choices = [(task.resolution, task.seconds)]
    seconds = min(task.seconds, progress.seconds or task.seconds)
    choices.append((task.resolution, seconds))
    if progress.resolution and f"video_second_{progress.resolution}" in task.price:
        choices.append((progress.resolution, seconds))
    billed = [fee_lines(price, {f"video_second_{name}": count}) for name, count in choices]
    lines, model_fee_nano = min(billed, key=lambda bill: bill[1])
    model_fee_nano, service_fee_nano = media.fee_of(task, model_fee_nano)
    url = f"{settings.PUBLIC_URL}/v1/videos/{task.id}/content" if progress.ours else progress.url
    ended = media.finish(
        task,
        media.End(
            status=MediaTask.Status.SUCCEEDED,
            media_url=url,
            units={line["unit"]: line["count"] for line in lines},
            lines=[dict(line) for line in lines],
            model_fee_nano=model_fee_nano,
            service_fee_nano=service_fee_nano,
        ),
    )
    if ended:
        log.info("task_succeeded", task=task.id, provider=task.provider)


def _fail(task: MediaTask, code: str, words: str) -> None:
    end = media.End(status=MediaTask.Status.FAILED, error_code=code, error_message=words[:500])
    if media.finish(task, end):
        log.info("task_failed", task=task.id, provider=task.provider, code=code)
