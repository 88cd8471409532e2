"""Every operation × no credential, the wrong kind of key, each scope, each role, another organization.

Enumerated from the URLconf: none is skipped by hand, and each says itself what it needs.
"""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern

from accounts.models import Organization
from accounts.roles import PERMISSIONS, Permission, Role
from accounts.webhooks import services as webhooks
from accounts.webhooks.models import Delivery, Endpoint
from tests import factories
from tests.api.program import SCOPES, Program, problem
from tokenhub.api.explorer import Schema
from tokenhub.api.urls import urlpatterns
from tokenhub.api.view import Rule, rule_of

pytestmark = pytest.mark.django_db

METHODS = ("get", "post", "put", "patch", "delete")


def _endpoint(tenant: Organization) -> Endpoint:
    made: Endpoint = Endpoint.objects.create(
        organization=tenant, url="https://93.184.216.34/", secret="whsec_x"
    )
    return made


def delivery(tenant: Organization) -> dict[str, str]:
    made: Delivery = webhooks.send_test(_endpoint(tenant))
    return {"webhook_id": made.endpoint_id, "delivery_id": made.id}


# What the placeholders of a path are filled with: something that the organization has.
OBJECTS: dict[str, Callable[[Organization], Any]] = {
    "key_id": lambda tenant: factories.key(tenant).key.id,
    "request_id": lambda tenant: factories.usage(tenant).id,
    "top_up_id": lambda tenant: factories.top_up(tenant).id,
    "number": lambda tenant: factories.invoice(tenant).number,
    "member_id": lambda tenant: f"mem_{factories.membership(tenant).pk}",
    "invitation_id": lambda tenant: factories.invitation(tenant).id,
    "webhook_id": lambda tenant: _endpoint(tenant).id,
}


def operations() -> list[Any]:
    found = []
    for pattern in urlpatterns:
        assert isinstance(pattern, URLPattern)
        view: Any = pattern.callback.view_class
        if view is Schema:
            continue
        for method in METHODS:
            if hasattr(view, method):
                rule = rule_of(view, method)
                assert rule is not None, f"{view} {method} says not who may call it"
                found.append(pytest.param(method, pattern, rule, id=f"{method}-{pattern.name}"))
    return found


OPERATIONS = operations()
WITH_CREDENTIAL = [each for each in OPERATIONS if each.values[2].scopes]


WITH_BODY = [each for each in OPERATIONS if each.values[0] not in ("get", "delete")]


def path(pattern: URLPattern, tenant: Organization) -> str:
    names = list(pattern.pattern.converters)
    values = (
        delivery(tenant)
        if "delivery_id" in names
        else {name: OBJECTS[name](tenant) for name in names}
    )
    found = str(pattern.pattern)
    for name, value in values.items():
        found = found.replace(f"<str:{name}>", value)
    return found


def signed_in(tenant: Organization, role: str) -> Program:
    client = Client()
    client.force_login(factories.member(tenant, role))
    return Program(tenant, "", client)


def test_only_writing_to_us_needs_no_credential() -> None:
    free = {each.values[1].name for each in OPERATIONS} - {
        each.values[1].name for each in WITH_CREDENTIAL
    }

    assert free == {"api_contact"}


@pytest.mark.parametrize(("method", "pattern", "rule"), WITH_CREDENTIAL)
def test_nobody_and_the_wrong_kind_are_refused(
    method: str, pattern: URLPattern, rule: Rule
) -> None:
    tenant = factories.organization()
    where = path(pattern, tenant)

    problem(Program(tenant, "").call(method, where), 401, "invalid_api_key")
    wrong = Program(tenant, factories.key(tenant).secret).call(method, where)
    problem(wrong, 403, "insufficient_scope")


@pytest.mark.parametrize(("method", "pattern", "rule"), WITH_CREDENTIAL)
def test_a_key_does_what_its_scopes_allow(
    stripe: Any, method: str, pattern: URLPattern, rule: Rule
) -> None:
    tenant = factories.organization()

    for scope in SCOPES:
        answer = Program.of(tenant, scope).call(method, path(pattern, tenant), {})

        if scope in rule.scopes:
            assert answer.status_code not in (401, 403, 404, 500), (scope, answer.content)
        else:
            problem(answer, 403, "insufficient_scope")


@pytest.mark.parametrize(("method", "pattern", "rule"), WITH_CREDENTIAL)
def test_a_member_and_a_members_key_do_what_the_role_allows(
    stripe: Any, method: str, pattern: URLPattern, rule: Rule
) -> None:
    tenant = factories.organization()

    for role in Role:
        for caller in (signed_in(tenant, role), Program.of(tenant, role=role)):
            answer = caller.call(method, path(pattern, tenant), {})

            if rule.permission is None or rule.permission in PERMISSIONS[role]:
                assert answer.status_code not in (401, 403, 404, 500), (role, answer.content)
            else:
                problem(answer, 403, "insufficient_role")


@pytest.mark.parametrize(("method", "pattern", "rule"), WITH_CREDENTIAL)
def test_another_organization_and_what_it_has_is_not_found(
    method: str, pattern: URLPattern, rule: Rule
) -> None:
    mine, theirs = factories.organization(), factories.organization()
    where = path(pattern, theirs)

    stranger = signed_in(mine, "owner").call(method, where, {}, X_Organization=theirs.slug)
    problem(stranger, 404, "not_found")
    if pattern.pattern.converters:
        problem(Program.of(mine).call(method, where, {}), 404, "not_found")
        problem(signed_in(mine, "owner").call(method, where, {}), 404, "not_found")


@pytest.mark.parametrize(("method", "pattern", "rule"), WITH_BODY)
def test_every_body_refuses_what_it_does_not_know(
    stripe: Any, method: str, pattern: URLPattern, rule: Rule
) -> None:
    program = Program.of(factories.organization())

    for name in ("organization", "role_of", "plan_id", "balance", "created_by"):
        answer = program.call(method, path(pattern, program.tenant), {name: "x"})

        found = problem(answer, 400, "validation_failed")
        assert {"field": name, "code": "unknown_field"}.items() <= found["errors"][0].items()


def test_nothing_hands_over_an_organization() -> None:
    assert Permission.DELETE_ORGANIZATION not in {each.values[2].permission for each in OPERATIONS}
