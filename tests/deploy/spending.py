"""Organizations that spend, at the database of ``DATABASE_URL``: one line of how many charges for each number read."""

import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tokenhub.settings")

import django

django.setup()

from billing.models import Transfer  # noqa: E402  (Django must be set up first)
from tests import factories  # noqa: E402


def main() -> None:
    """Charge as often as asked, in turn over three organizations with plenty of money."""
    tenants = [factories.organization(credit_nano=10_000_000_000) for _ in range(3)]
    for line in sys.stdin:
        for number in range(int(line)):
            factories.charge(tenants[number % 3], 1_000 + number)
        print(Transfer.objects.filter(kind="usage").count(), flush=True)


if __name__ == "__main__":
    main()
