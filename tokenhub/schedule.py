"""When a scheduled job is sent: Celery's scheduler, which does not fall silent when the clock is set back."""

from typing import Any

import structlog
from celery.beat import PersistentScheduler

log = structlog.get_logger(__name__)

SLACK_S = 1.0


class Scheduler(PersistentScheduler):  # type: ignore[misc]  # Celery has no types
    """Celery's own, but a job that ran in the future is due after its interval from now.

    Celery waits from when a job ran last: were the clock set back by an hour, nothing would be sent for one.
    """

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due; how long to sleep."""
        ahead = [entry for entry in self.schedule.values() if self._ran_in_the_future(entry)]
        if ahead:
            log.warning("clock_set_back", jobs=len(ahead))
            for entry in ahead:
                entry.last_run_at = entry.default_now()
            # Its times are of the clock before; it is made anew from the entries.
            self._heap = None
        return super().tick(*args, **kwargs)  # type: ignore[no-any-return]

    @staticmethod
    def _ran_in_the_future(entry: Any) -> bool:
        return (entry.last_run_at - entry.default_now()).total_seconds() > SLACK_S  # type: ignore[no-any-return]
