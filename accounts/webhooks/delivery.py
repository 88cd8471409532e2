"""Deliver what waits: each event to each endpoint until it answers 2xx, for about a day.

A delivery is claimed in one short transaction, sent outside of any, and its outcome written in
another. A worker that dies in between leaves a claim that runs out; one that stalls finds its
attempt number overtaken and writes nothing. So any number of workers may run this at once, and an
endpoint may hear of an event twice, always under the same ``webhook-id``.
"""

import base64
import hashlib
import hmac
import json
import random
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from accounts import egress
from accounts.audit import SYSTEM, record
from accounts.mailing import send_waiting
from accounts.notifications import Category, addresses
from accounts.roles import Permission
from accounts.webhooks.events import payload
from accounts.webhooks.models import Attempt, Delivery, Endpoint
from accounts.webhooks.services import cancel

log = structlog.get_logger(__name__)

# After the first, a second, … try that failed; together about 24 hours.
DELAYS = tuple(
    timedelta(seconds=s) for s in (5, 300, 1_800, 7_200, 14_400, 21_600, 39_600)
)  # fmt: skip
JITTER = 0.1
TIMEOUT_S = 10.0
# Longer than a post can take, and than a batch of them.
CLAIM = timedelta(seconds=90)
BATCH, THREADS, PER_ENDPOINT = 32, 8, 4
# An endpoint that answered nothing for so long, whole series of tries included, is switched off.
GIVE_UP_AFTER = timedelta(days=3)
GONE = 410

_DUE = """
SELECT id FROM (
    SELECT d.id, d.next_try_at, row_number() OVER (PARTITION BY d.endpoint_id ORDER BY d.next_try_at, d.id) AS place,
           CASE WHEN e.failing_since IS NULL THEN %(each)s ELSE 1 END AS share
      FROM webhooks_delivery d JOIN webhooks_endpoint e ON e.id = d.endpoint_id
     WHERE d.status = 'pending' AND d.next_try_at <= %(now)s AND e.enabled) due
 WHERE place <= share ORDER BY next_try_at LIMIT %(batch)s
"""


@dataclass(frozen=True, slots=True)
class _Post:
    """What a thread needs to send; it never touches the database."""

    delivery: str
    endpoint: str
    attempt: int
    url: str
    body: bytes
    message: str
    secrets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Outcome:
    at: datetime
    status: int | None
    text: str
    error: str
    duration_ms: int


def deliver_due(*, within_s: float = 20.0) -> int:
    """Send what is due; returns how many attempts were made. Begins no batch after ``within_s``."""
    made = 0
    until_s = time.monotonic() + within_s
    with ThreadPoolExecutor(THREADS) as threads:
        while time.monotonic() < until_s:
            batch = _claim()
            if not batch:
                break
            sent = {threads.submit(_send, post): post for post in batch}
            for done in as_completed(sent):
                _keep(sent[done], done.result())
            made += len(batch)
    return made


def signatures(secrets: tuple[str, ...], message: str, timestamp: int, body: bytes) -> str:
    """The ``webhook-signature`` header: one ``v1,…`` for each secret."""
    signed = f"{message}.{timestamp}.".encode() + body
    return " ".join(
        "v1," + base64.b64encode(hmac.digest(_key(secret), signed, hashlib.sha256)).decode()
        for secret in secrets
    )


def send_notices() -> int:
    """Mail that an endpoint was switched off, each once; returns how many."""
    waiting = Endpoint.objects.select_related("organization").filter(notice_due=True)
    return send_waiting(waiting, _mail, lambda: {"notice_due": False})


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix("whsec_"))


@transaction.atomic
def _claim() -> list[_Post]:
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(_DUE, {"now": now, "each": PER_ENDPOINT, "batch": BATCH})
        due = [f"dlv_{row[0].hex}" for row in cursor.fetchall()]
    claimed = list(
        Delivery.objects.select_for_update(skip_locked=True, of=("self",))
        .select_related("endpoint", "event")
        .filter(pk__in=due, status=Delivery.Status.PENDING, next_try_at__lte=now)
    )
    Delivery.objects.filter(pk__in=[each.pk for each in claimed]).update(
        attempts=F("attempts") + 1, tries=F("tries") + 1, next_try_at=now + CLAIM
    )
    return [_post(each, now) for each in claimed]


def _post(delivery: Delivery, now: datetime) -> _Post:
    endpoint = delivery.endpoint
    secrets = [endpoint.secret]
    if endpoint.previous_secret and endpoint.previous_until and endpoint.previous_until > now:
        secrets.append(endpoint.previous_secret)
    return _Post(
        delivery=delivery.id,
        endpoint=endpoint.id,
        attempt=delivery.attempts + 1,
        url=endpoint.url,
        body=json.dumps(payload(delivery.event), separators=(",", ":")).encode(),
        message=delivery.event_id,
        secrets=tuple(secrets),
    )


def _send(post: _Post) -> _Outcome:
    at, began_s = timezone.now(), time.monotonic()
    timestamp = int(at.timestamp())
    headers = {
        "content-type": "application/json",
        "user-agent": "TokenHub-Webhooks/1",
        "webhook-id": post.message,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signatures(post.secrets, post.message, timestamp, post.body),
    }
    try:
        answer = egress.post(post.url, post.body, headers, timeout_s=TIMEOUT_S)
    except (egress.Refused, egress.Unreachable) as error:
        return _Outcome(at, None, "", str(error)[:300], _since_ms(began_s))
    except Exception as error:
        # One endpoint's oddity must not stop the others' deliveries.
        log.exception("webhook_post_failed", delivery=post.delivery)
        return _Outcome(at, None, "", f"Could not be sent: {type(error).__name__}.", _since_ms(began_s))  # fmt: skip
    text = answer.text.replace("\0", "")[:500]
    return _Outcome(at, answer.status, text, "", answer.duration_ms)


def _since_ms(began_s: float) -> int:
    return round((time.monotonic() - began_s) * 1000)


@transaction.atomic
def _keep(post: _Post, outcome: _Outcome) -> None:
    # The endpoint before its deliveries, as every writer does.
    endpoint: Endpoint | None = (
        Endpoint.objects.select_for_update(no_key=True, of=("self",))
        .select_related("organization")
        .filter(pk=post.endpoint)
        .first()
    )
    delivery: Delivery | None = (
        Delivery.objects.select_for_update()
        .filter(pk=post.delivery, attempts=post.attempt, status=Delivery.Status.PENDING)
        .first()
    )
    if endpoint is None or delivery is None:
        return  # deleted, cancelled, or overtaken by another worker
    Attempt.objects.create(
        delivery=delivery, number=post.attempt, at=outcome.at, response_status=outcome.status,
        response_text=outcome.text, error=outcome.error, duration_ms=outcome.duration_ms,
    )  # fmt: skip
    if outcome.status is not None and 200 <= outcome.status < 300:
        _finish(delivery, Delivery.Status.SUCCEEDED)
        _failing(endpoint, None)
        return
    _failing(endpoint, endpoint.failing_since or outcome.at)
    if outcome.status == GONE:
        _finish(delivery, Delivery.Status.FAILED)
        _switch_off(endpoint, "It answered 410 Gone.")
    elif delivery.tries <= len(DELAYS):
        delay = DELAYS[delivery.tries - 1] * random.uniform(1, 1 + JITTER)  # noqa: S311
        delivery.next_try_at = timezone.now() + delay
        delivery.save(update_fields=["next_try_at"])
    else:
        _finish(delivery, Delivery.Status.FAILED)
        assert endpoint.failing_since is not None
        if endpoint.failing_since <= outcome.at - GIVE_UP_AFTER:
            _switch_off(endpoint, f"Nothing was delivered for {GIVE_UP_AFTER.days} days.")


def _failing(endpoint: Endpoint, since: datetime | None) -> None:
    if endpoint.failing_since != since:
        endpoint.failing_since = since
        endpoint.save(update_fields=["failing_since"])


def _finish(delivery: Delivery, status: str) -> None:
    delivery.status, delivery.next_try_at, delivery.finished_at = status, None, timezone.now()
    delivery.save(update_fields=["status", "next_try_at", "finished_at"])


def _switch_off(endpoint: Endpoint, why: str) -> None:
    endpoint.enabled, endpoint.disabled_reason, endpoint.notice_due = False, why, True
    endpoint.mail_attempts, endpoint.mail_after = 0, timezone.now()
    endpoint.save(
        update_fields=["enabled", "disabled_reason", "notice_due", "mail_attempts", "mail_after"]
    )
    cancel(endpoint)
    record(
        endpoint.organization, SYSTEM, "webhook.disabled", endpoint.id,
        before={"enabled": True}, after={"enabled": False, "reason": why},
    )  # fmt: skip


def _mail(endpoint: Endpoint) -> EmailMessage | None:
    organization = endpoint.organization
    to = addresses(organization, Category.WEBHOOKS, Permission.MANAGE_SETTINGS)
    if not to:
        return None
    return EmailMessage(
        f"TokenHub: a webhook of {' '.join(organization.name.split())} was switched off",
        f"The webhook to\n{endpoint.url}\nwas switched off. {endpoint.disabled_reason}\n\n"
        "Events since then were not sent. Switch it on again, and ask for what was missed, at\n"
        f"{settings.PUBLIC_URL}/o/{organization.slug}/webhooks/{endpoint.id}/\n",
        to=to,
    )
