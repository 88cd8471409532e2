"""Follow media tasks as if an hour had passed, at the database of ``DATABASE_URL``."""

import os
from datetime import timedelta

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tokenhub.settings")

import django

django.setup()

from django.utils import timezone  # noqa: E402  (Django must be set up first)

from tokenhub.gateway.media.follow import follow  # noqa: E402


def main() -> None:
    """Look at every open task once, an hour from now."""
    follow(timezone.now() + timedelta(hours=1), limit=10_000)


if __name__ == "__main__":
    main()
