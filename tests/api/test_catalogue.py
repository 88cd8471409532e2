"""What there is: models with what is left of them, providers, plans, announcements; and a route explained."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from routing.models import PlanModel
from tests import factories
from tests.api.program import Program, problem
from tokenhub.web.models import Announcement

pytestmark = pytest.mark.usefixtures("catalogue", "db")


def everything(program: Program, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        join = "&" if "?" in path else "?"
        page = program.get(f"{path}{join}limit=7{cursor}").json()
        found += page["data"]
        if not page["has_more"]:
            return found
        cursor = f"&cursor={page['next_cursor']}"


def test_every_model_is_listed_once_with_its_offerings(program: Program) -> None:
    models = everything(program, "models/")

    names = [model["id"] for model in models]
    assert names == sorted(set(names))
    deepseek = next(model for model in models if model["id"] == "deepseek-v3.2")
    assert deepseek["available"]
    assert set(deepseek["offerings"][0]) == {
        "provider", "region", "context_length", "max_output", "capabilities", "price",
    }  # fmt: skip
    assert all(isinstance(price, str) for price in deepseek["offerings"][0]["price"].values())
    assert {model["modality"] for model in everything(program, "models/?modality=image")} == {
        "image"
    }


def test_what_is_left_of_a_model_depends_on_boundaries_and_plan() -> None:
    program = Program.of(factories.organization(plan="starter"))
    PlanModel.objects.update_or_create(
        name="only-pro", defaults={"plan": "pro", "models": ["deepseek-v3.2"]}
    )
    program.patch("preferences/", {"denied_models": ["deepseek-v3.2"]})

    available = {model["id"]: model["available"] for model in everything(program, "models/")}

    assert available["deepseek-v3.2"] is False
    assert available["tokenhub/only-pro"] is False
    assert any(available.values())


def test_models_are_read_in_a_fixed_number_of_queries(
    program: Program, django_assert_max_num_queries: Any
) -> None:
    program.get("me/")

    with django_assert_max_num_queries(15):
        program.get("models/?limit=100")


def test_providers_show_what_is_known_and_nothing_secret(program: Program) -> None:
    providers = everything(program, "providers/")

    assert [each["id"] for each in providers] == sorted(each["id"] for each in providers)
    assert set(providers[0]) == {
        "id", "name", "regions", "models", "zero_retention", "no_training", "certifications",
    }  # fmt: skip
    assert "http" not in program.get("providers/?limit=100").content.decode()


def test_plans_come_from_low_to_high_and_the_held_one_is_marked(program: Program) -> None:
    plans = everything(program, "plans/")

    assert [plan["id"] for plan in plans] == ["starter", "pro", "enterprise"]
    assert [plan["current"] for plan in plans] == [False, False, True]
    assert plans[1]["monthly_price"].count(".") == 1


def test_announcements_are_those_that_are_published_newest_first(program: Program) -> None:
    now = datetime.now(UTC)
    old = factories.announcement(published_at=now - timedelta(days=2))
    new = factories.announcement(published_at=now - timedelta(days=1))
    factories.announcement(published_at=None)
    factories.announcement(published_at=now + timedelta(days=1))

    shown = [each["id"] for each in everything(program, "announcements/")]

    assert shown.index(new.slug) < shown.index(old.slug)
    assert len(set(shown)) == len(shown) == Announcement.objects.published().count()


def test_a_route_is_explained_with_every_rule(program: Program) -> None:
    program.patch("preferences/", {"allowed_regions": ["eu", "us"]})

    answer = program.post(
        "routes/explain/",
        {
            "model": "deepseek-v3.2", "session_id": "s", "input_tokens": 10, "max_tokens": 5,
            "capabilities": [], "provider": {"ignore": ["deepseek"], "sort": "price"},
        },
    )  # fmt: skip

    found = answer.json()
    assert set(found) >= {"model", "candidates", "excluded", "policy_version"}
    assert {each["region"] for each in found["candidates"]} <= {"eu", "us"}
    assert set(found["candidates"][0]) >= {"provider", "region", "model", "tier", "price", "reason"}
    assert {each["origin"] for each in found["excluded"]} >= {"organization"}
    assert set(found["excluded"][0]) >= {"provider", "region", "model", "rule", "origin", "detail"}
    assert found["policy_version"] == program.get("preferences/").json()["version"]
    assert len(found["attempts"]) <= 3


def test_a_keys_own_limits_count_too(program: Program) -> None:
    key = factories.key(program.tenant, allowed_providers=["deepseek"]).key
    foreign = factories.key(factories.organization()).key

    found = program.post("routes/explain/", {"model": "deepseek-v3.2", "key": key.id}).json()

    assert {each["provider"] for each in found["candidates"]} <= {"deepseek"}
    assert "key" in {each["origin"] for each in found["excluded"]}
    problem(
        program.post("routes/explain/", {"model": "deepseek-v3.2", "key": foreign.id}),
        404,
        "not_found",
    )


def test_what_cannot_be_routed_is_a_problem(program: Program) -> None:
    problem(program.post("routes/explain/", {"model": "gpt-0"}), 404, "model_not_found")
    PlanModel.objects.update_or_create(
        name="only-pro", defaults={"plan": "pro", "models": ["deepseek-v3.2"]}
    )
    starter = Program.of(factories.organization(plan="starter"))
    problem(starter.post("routes/explain/", {"model": "tokenhub/only-pro"}), 403, "plan_required")


@pytest.mark.parametrize(
    "body",
    [{}, {"model": ""}, {"model": "x", "provider": {"more": 1}}, {"model": "x", "provider": []},
     {"model": "x", "input_tokens": -1}, {"model": "x", "input_tokens": 10**12}, {"model": "x", "messages": []},
     {"model": "x", "provider": {"sort": "best"}}],
)  # fmt: skip
def test_a_senseless_question_is_refused(program: Program, body: dict[str, Any]) -> None:
    problem(program.post("routes/explain/", body), 400, "validation_failed")


def test_a_repeated_question_is_answered_the_same(program: Program) -> None:
    question = {"model": "deepseek-v3.2"}

    first = program.post("routes/explain/", question, Idempotency_Key="q")
    again = program.post("routes/explain/", question, Idempotency_Key="q")

    assert again.content == first.content
    assert again["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first
