"""``manage.py`` on a machine whose clock is off by what ``CLOCK_OFF_BY`` (a file) says now: wall clock alone, as in life."""

import os
import sys
import time
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

FILE = Path(os.environ["CLOCK_OFF_BY"])
_time, _time_ns = time.time, time.time_ns


def _off_s() -> float:
    return float(FILE.read_text())


class Shifted:
    """``datetime``, for those who ask it for the time."""

    @staticmethod
    def now(tz: tzinfo | None = None) -> datetime:
        return datetime.now(tz) + timedelta(seconds=_off_s())


def main() -> None:
    """Patch what processes of ours ask for the time, then be ``manage.py``."""
    time.time = lambda: _time() + _off_s()
    time.time_ns = lambda: _time_ns() + int(_off_s() * 1e9)

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tokenhub.settings")
    import django
    from django.core.management import execute_from_command_line
    from django.utils import timezone

    django.setup()
    import tokenhub.gateway.chat

    timezone.now = lambda: Shifted.now(UTC)

    vars(tokenhub.gateway.chat)["datetime"] = Shifted
    execute_from_command_line(["manage.py", *sys.argv[1:]])


if __name__ == "__main__":
    main()
