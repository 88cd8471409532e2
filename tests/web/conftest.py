"""Who visits the pages."""

from typing import Any

import pytest
from django.test import Client

from tests import factories
from tests.web.pages import HOSTILE


@pytest.fixture
def inside(client: Client) -> Any:
    """A signed-in owner."""
    tenant = factories.organization(HOSTILE, credit_nano=2_500_000_000)
    client.force_login(factories.member(tenant))
    return tenant
