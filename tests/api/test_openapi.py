"""The OpenAPI document: whole, without a warning, true to the views, its examples valid; and its page."""

import io
import re
from typing import Any

import jsonschema
import pytest
from django.core.management import call_command
from django.test import Client

from tests.api.test_access import METHODS, OPERATIONS
from tests.web.pages import safe
from tokenhub.api import problems
from tokenhub.api.explorer import document
from tokenhub.web import docs


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, described)
        for path, methods in document()["paths"].items()
        for method, described in methods.items()
    ]


def test_it_is_valid_and_made_without_a_warning() -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=io.StringIO())


def test_it_is_open_api_3_1_for_everybody(client: Client) -> None:
    answer = client.get("/api/v1/schema/")

    assert answer.status_code == 200
    assert answer.json()["openapi"].startswith("3.1")
    assert answer.json() == document()
    yaml = client.get("/api/v1/schema/", headers={"Accept": "application/vnd.oai.openapi"})
    assert yaml.content.startswith(b"openapi: 3.1")


def test_every_route_is_in_it() -> None:
    routes = {
        (
            each.values[0],
            "/api/v1/" + re.sub(r"<str:(\w+)>", r"{\1}", str(each.values[1].pattern)),
        )
        for each in OPERATIONS
    }

    assert {(method, path) for path, method, _ in operations()} == routes
    assert all(method in METHODS for _, method, _ in operations())


@pytest.mark.parametrize(
    ("path", "method", "described"),
    [pytest.param(*each, id=each[2]["operationId"]) for each in operations()],
)
def test_every_operation_says_what_it_does_and_who_may(
    path: str, method: str, described: dict[str, Any]
) -> None:
    assert described["summary"]
    assert described["description"].strip()
    if described["x-scopes"]:
        assert "**Scope:**" in described["description"]
        assert {"session": []} in described["security"]
        assert {"managementKey": [described["x-scopes"][0]]} in described["security"]
    else:
        assert "security" not in described
    contents = [
        content
        for status, answer in described["responses"].items()
        if status.startswith("2")
        for kind, content in answer.get("content", {}).items()
        if kind == "application/json"
    ]
    if "requestBody" in described:
        contents.append(described["requestBody"]["content"]["application/json"])
    for content in contents:
        examples = [each["value"] for each in content.get("examples", {}).values()]
        assert examples, "an example is missing"
        schema = {**content["schema"], "components": document()["components"]}
        for example in examples:
            jsonschema.validate(example, schema, jsonschema.Draft202012Validator)


def test_every_answer_can_be_a_problem() -> None:
    for path, method, described in operations():
        for status in ("400", "401", "403", "429", "500", *(["422"] if method == "post" else [])):
            assert described["responses"][status]["$ref"].endswith(f"Problem{status}"), path


def test_every_problem_is_explained_and_no_other() -> None:
    page = docs.page("rest-api")
    assert page is not None

    explained = {
        section.title for section in page.sections if re.fullmatch(r"[a-z_]+", section.title)
    }

    assert explained == set(problems.TITLES)


def test_the_documentation_lists_every_operation() -> None:
    page = docs.page("rest-api")
    assert page is not None
    rows = [
        f"| `{method.upper()} {path}` | {described['summary']} |"
        f" {' or '.join(f'`{scope}`' for scope in described['x-scopes']) or 'none'} |"
        for path, method, described in operations()
    ]

    listed = [
        line for line in page.markdown.splitlines() if "/api/v1/" in line and line[:3] == "| `"
    ]

    assert listed == rows, "the table should be:\n" + "\n".join(rows)


@pytest.mark.django_db
def test_it_can_be_read_and_tried_on_a_page_that_obeys_the_policy(client: Client) -> None:
    page = client.get("/api/docs/")

    safe(page)
    assert 'data-schema="/api/v1/schema/"' in page.content.decode()
