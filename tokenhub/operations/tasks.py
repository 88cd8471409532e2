"""Background jobs of the platform itself."""

from celery import shared_task

from accounts import retention


@shared_task
def forget_old_rows() -> str:
    """Delete what is kept no longer."""
    return ", ".join(f"{what}: {count}" for what, count in retention.forget().items())
