"""The whole OpenAPI document tried by Schemathesis, with a management key of each scope: no 5xx, no answer that
the document does not describe.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks as openapi

from tests import factories
from tests.api.program import SCOPES, Program
from tests.api.test_access import OBJECTS, delivery
from tokenhub.api.explorer import document

CHECKS = [
    not_a_server_error,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_headers_conformance,
    openapi.response_schema_conformance,
    openapi.negative_data_rejection,
]
# A key without the scope meets one refusal, whatever it sends.
REFUSED_ENOUGH = 3
schema = schemathesis.openapi.from_dict(document())
schema.app = WSGIHandler()


@pytest.fixture
def one_connection(db: None) -> Iterator[None]:
    """As Django's own test client does: the test's transaction outlives each request."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.fixture
def caller(one_connection: None, scope: str) -> Program:
    return Program.of(factories.organization(), scope)


@pytest.fixture
def calls() -> list[str]:
    """What was called in a test."""
    return []


@pytest.mark.parametrize("scope", SCOPES)
@schema.parametrize()
@settings(
    max_examples=3, derandomize=True, database=None, deadline=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
def test_no_request_meets_what_the_document_does_not_say(
    catalogue: None, stripe: Any, scope: str, caller: Program, calls: list[str], case: schemathesis.Case,
) -> None:  # fmt: skip
    scopes = case.operation.definition.raw["x-scopes"]
    if scopes and scope not in scopes and len(calls) >= REFUSED_ENOUGH:
        return
    calls.append(case.path)
    headers = {"Authorization": f"Bearer {caller.secret}", "Accept-Encoding": "identity"}
    if case.path_parameters and len(calls) % 2:
        case.path_parameters = known(caller, list(case.path_parameters))

    case.call_and_validate(headers=headers, checks=CHECKS)


def known(program: Program, names: list[str]) -> dict[str, str]:
    """Something that the organization has."""
    if "delivery_id" in names:
        return delivery(program.tenant)
    return {name: OBJECTS[name](program.tenant) for name in names}
