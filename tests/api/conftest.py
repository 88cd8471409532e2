"""Who calls the REST API in these tests."""

from typing import Any

import pytest

from tests import factories
from tests.api.program import Program


@pytest.fixture(autouse=True)
def generous_limits(settings: Any) -> None:
    """The suite calls more often than anybody may; the tests of the limits set their own."""
    settings.API_REQUESTS_PER_MINUTE = 1_000_000
    settings.API_ADDRESS_REQUESTS_PER_MINUTE = 1_000_000
    settings.API_FAILED_KEYS_PER_MINUTE = 1_000_000


@pytest.fixture
def program(db: None) -> Program:
    """A program with a management key of every scope, made by an owner."""
    return Program.of(factories.organization())
