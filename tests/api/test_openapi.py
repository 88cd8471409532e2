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
from tokenhub.api.fields import Body
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


@pytest.mark.parametrize(
    ("path", "method", "described"),
    [pytest.param(*each, id=each[2]["operationId"]) for each in operations()],
)
def test_every_operation_has_examples(path: str, method: str, described: dict[str, Any]) -> None:
    """Of what is sent, of the answer, of each place in the address and of each error; none is left out."""
    answers = {status: resolved(answer) for status, answer in described["responses"].items()}
    done = [answer for status, answer in answers.items() if status.startswith("2")]
    bodies = [
        content
        for answer in [*answers.values(), described.get("requestBody", {})]
        for kind, content in answer.get("content", {}).items()
        if kind.endswith("json")
    ]
    for body in bodies:
        assert examples_of(body), "an example of a body is missing"
        for example in examples_of(body):
            validate(example, body["schema"])

    parameters = [resolved(each) for each in described["parameters"]]
    placed = [each for each in parameters if each["in"] in ("path", "header")]
    headers = [resolved(each) for answer in done for each in answer["headers"].values()]
    for each in [*placed, *headers]:
        assert examples_of(each), f"{each.get('name')}: an example is missing"
        for example in examples_of(each):
            validate(example, each["schema"])

    # Where the answer has no JSON to show, its address is shown.
    shown = [body for answer in done for body in answer.get("content", {}).values()]
    assert any(map(examples_of, shown)) or any(each["in"] == "path" for each in placed)


def resolved(described: dict[str, Any]) -> dict[str, Any]:
    """What a reference within the document stands for."""
    found: Any = document()
    if "$ref" not in described:
        return described
    for name in described["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return dict(found)


def examples_of(described: dict[str, Any]) -> list[Any]:
    one = [described["example"]] if "example" in described else []
    return one + [each["value"] for each in described.get("examples", {}).values()]


def validate(example: Any, schema: dict[str, Any]) -> None:
    whole = {**schema, "components": document()["components"]}
    jsonschema.validate(example, whole, jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("NewKey", {"name": ""}), ("NewKey", {"name": "  "}), ("NewKey", {"name": "a\0"}),
        ("NewKey", {"name": "x" * 81}), ("NewKey", {"name": "k", "rpm": 0}),
        ("NewKey", {"name": "k", "allowed_models": [""]}), ("NewKey", {"name": "k", "nonsense": 1}),
        ("NewKey", {"name": "k", "allowed_models": ["x"] * 501}), ("NewKey", {"rpm": 1}),
        ("NewKey", {"name": "k", "budget": {"amount": "0.00", "period": "day"}}),
        ("NewKey", {"name": "k", "budget": {"amount": "1.00", "period": "day", "nonsense": 1}}),
        ("PreferencesChanges", {"require": ["iso9"]}), ("PreferencesChanges", {"version": 3}),
        ("BudgetsChanges", {"monthly": "0"}), ("BudgetsChanges", {"monthly": "-1.00"}),
        ("NewTopUp", {"amount": "25.001"}), ("NewTopUp", {"amount": "0"}), ("Role", {}),
        ("NewWebhook", {"url": "ftp://example.com/"}), ("NewWebhook", {"url": "https://a b/"}),
        ("NewWebhook", {"url": "https://example.com/", "description": "\0"}),
    ],
)  # fmt: skip
def test_what_is_refused_is_refused_by_the_document_too(name: str, body: dict[str, Any]) -> None:
    serializer: Any = next(
        each for each in all_of(Body) if each.__name__.removesuffix("Serializer") == name
    )

    assert not serializer(data=body).is_valid()
    with pytest.raises(jsonschema.ValidationError):
        validate(body, {"$ref": f"#/components/schemas/{name}"})


def all_of(kind: type) -> list[type]:
    return [each for child in kind.__subclasses__() for each in (child, *all_of(child))]


def test_a_string_that_may_be_empty_is_not_refused_by_the_document() -> None:
    validate(
        {"url": "https://example.com/", "description": ""},
        {"$ref": "#/components/schemas/NewWebhook"},
    )
    validate({"monthly": None}, {"$ref": "#/components/schemas/BudgetsChanges"})


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
