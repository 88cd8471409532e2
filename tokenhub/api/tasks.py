"""Background jobs of the REST API."""

from celery import shared_task

from tokenhub.api import idempotency


@shared_task
def forget_remembered_answers() -> int:
    """Idempotency keys are kept for a day."""
    return idempotency.forget()
