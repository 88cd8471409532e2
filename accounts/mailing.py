"""Mail that jobs send: each once, and what fails is tried again later and lets by what waits behind it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import structlog
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

log = structlog.get_logger(__name__)

# The wait doubles from a minute to four hours: about three days in all, as mail servers have it.
MAX_ATTEMPTS = 24
MAX_WAIT_MINUTES = 240
# So many in one run: then it is the mail server that is away, and those behind are not made to wait longer.
MAX_FAILED = 5


def send_waiting(
    waiting: QuerySet[Any],
    message: Callable[[Any], EmailMessage | None],
    done: Callable[[], dict[str, Any]],
    *,
    limit: int = 100,
) -> int:
    """Mail what is said of each row that waits, where there is somebody to mail; returns how many are done.

    The rows are of a ``MailedModel``. ``done`` has the values of one that waits no more. Two jobs at once do not
    mail the same row. A mail that fails too often is given up, with an error in the log.
    """
    succeeded = failed = 0
    while succeeded + failed < limit and failed < MAX_FAILED:
        with transaction.atomic():
            row = (
                waiting.select_for_update(skip_locked=True, of=("self",))
                .filter(mail_after__lte=timezone.now(), mail_attempts__lt=MAX_ATTEMPTS)
                .order_by("pk")
                .first()
            )
            if row is None:
                break
            mail = message(row)
            if mail is None or is_sent(mail, of=row):
                succeeded += 1
                values = done()
            else:
                failed += 1
                values = _later(row)
            type(row)._default_manager.filter(pk=row.pk).update(**values)
    return succeeded


def is_sent(mail: EmailMessage, *, of: Any) -> bool:
    """Send a mail; ``False``, and a warning in the log, where no server takes it."""
    try:
        mail.send()
    except (
        OSError,
        ValueError,
    ) as error:  # all of SMTP's errors, and what cannot be a header or an address
        # Not the error's text: there are addresses in it.
        log.warning("mail_failed", of=of._meta.label, id=of.pk, error=type(error).__name__)
        return False
    return True


def _later(row: Any) -> dict[str, Any]:
    attempts = row.mail_attempts + 1
    if attempts >= MAX_ATTEMPTS:
        log.error("mail_given_up", of=row._meta.label, id=row.pk, attempts=attempts)
    wait = timedelta(minutes=min(2**row.mail_attempts, MAX_WAIT_MINUTES))
    return {"mail_attempts": attempts, "mail_after": timezone.now() + wait}
