"""Preferences by program: hard boundaries, changed by those who read the version they change."""

from typing import Any

import pytest

from accounts.models import AuditEvent
from routing.models import Preferences
from tests import factories
from tests.api.program import Program, problem

pytestmark = pytest.mark.usefixtures("catalogue", "db")

FIELDS = {
    "allowed_regions", "allowed_providers", "denied_providers", "allowed_models", "denied_models", "require",
    "strategy",
}  # fmt: skip


def test_without_any_nothing_is_limited(program: Program) -> None:
    answer = program.get("preferences/")

    shown = answer.json()
    assert set(shown) >= FIELDS
    assert all(shown[name] == [] for name in FIELDS - {"strategy"})
    assert shown["strategy"] == "balanced"
    assert answer["etag"] == '"0"'


def test_a_change_leaves_the_rest_and_a_replacement_does_not(program: Program) -> None:
    program.patch("preferences/", {"allowed_regions": ["eu"], "strategy": "price"})
    changed = program.patch("preferences/", {"denied_providers": ["deepseek"]})
    replaced = program.put("preferences/", {"require": ["soc2"]})

    assert changed.json()["allowed_regions"] == ["eu"]
    assert changed.json()["strategy"] == "price"
    assert replaced.json()["allowed_regions"] == []
    assert replaced.json()["require"] == ["soc2"]
    assert replaced.json()["strategy"] == "balanced"
    event = AuditEvent.objects.for_organization(program.tenant).first()
    assert event.before["denied_providers"] == ["deepseek"]


def test_a_change_for_another_version_is_refused(program: Program) -> None:
    first = program.get("preferences/")["etag"]
    second = program.patch("preferences/", {"strategy": "price"}, If_Match=first)

    assert second.status_code == 200
    problem(
        program.patch("preferences/", {"strategy": "latency"}, If_Match=first),
        412,
        "precondition_failed",
    )
    problem(program.put("preferences/", {}, If_Match='"nonsense"'), 412, "precondition_failed")
    assert Preferences.objects.get(organization=program.tenant).strategy == "price"
    weak = program.patch(
        "preferences/", {"strategy": "latency"}, If_Match=f'"9", W/{second["etag"]}'
    )
    assert weak.status_code == 200
    assert program.patch("preferences/", {}, If_Match="*").status_code == 200
    assert weak["etag"] == program.get("preferences/")["etag"]


def test_a_refused_first_change_leaves_no_row(program: Program) -> None:
    program.patch("preferences/", {"strategy": "price"}, If_Match='"5"')

    assert not Preferences.objects.filter(organization=program.tenant).exists()


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"allowed_regions": ["mars"]}, "allowed_regions"), ({"allowed_regions": "eu"}, "allowed_regions"),
     ({"strategy": "random"}, "strategy"), ({"require": ["iso9"]}, "require"), ({"version": 3}, "version"),
     ({"organization": "org_x"}, "organization"), ({"allowed_models": [1, []]}, "allowed_models.1")],
)  # fmt: skip
def test_what_is_not_there_is_refused(
    program: Program, changes: dict[str, Any], field: str
) -> None:
    found = problem(program.patch("preferences/", changes), 400, "validation_failed")

    assert field in {each["field"] for each in found["errors"]}


def test_certifications_need_the_extension() -> None:
    starter = Program.of(factories.organization(plan="starter"))

    found = problem(starter.patch("preferences/", {"require": ["soc2"]}), 400, "validation_failed")

    assert "Enterprise" in found["detail"]
