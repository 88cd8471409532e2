"""A catalogue, an organization with money and a key, in the database of ``DATABASE_URL``; printed as JSON."""

import json
import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tokenhub.settings")

import django

django.setup()

from routing.seed.load import load_demo_catalogue  # noqa: E402  (Django must be set up first)
from tests import factories  # noqa: E402


def main() -> None:
    """Make them; the only argument is where the simulated providers are."""
    load_demo_catalogue(sys.argv[1])
    tenant = factories.organization(credit_nano=100_000_000_000)
    print(json.dumps({"organization": tenant.id[4:], "secret": factories.key(tenant).secret}))


if __name__ == "__main__":
    main()
