"""The request log and a request explained."""

import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests import factories
from tests.web.pages import safe

pytestmark = pytest.mark.django_db


def test_the_log_pages_by_key_and_keeps_its_filters(client: Client, inside: Any) -> None:
    for _ in range(60):
        factories.usage(inside, model="glm-5")
    factories.usage(inside, model="qwen-plus")
    url = reverse("requests", args=[inside.slug])

    first = client.get(url, {"model": "glm-5"})
    second = client.get(f"{url}?{first.context['older']}")

    assert len(first.context["page"]) == 50
    assert len(second.context["page"]) == 10
    assert "model=glm-5" in first.context["older"]
    ids = [usage.id for usage in [*first.context["page"], *second.context["page"]]]
    assert len(set(ids)) == 60
    assert ids == sorted(ids, reverse=True)


def test_a_day_is_half_open_in_utc(client: Client, inside: Any) -> None:
    day = datetime.now(UTC).date() - timedelta(days=2)
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    inside_day = factories.usage(inside, created_at=midnight)
    factories.usage(inside, created_at=midnight - timedelta(microseconds=1))
    factories.usage(inside, created_at=midnight + timedelta(days=1))

    page = client.get(reverse("requests", args=[inside.slug]), {"from": str(day), "to": str(day)})

    assert [usage.id for usage in page.context["page"]] == [inside_day.id]


def test_every_filter_finds_what_it_names_however_old(client: Client, inside: Any) -> None:
    key = factories.key(inside)
    ago = datetime.now(UTC) - timedelta(days=20)
    old = factories.usage(
        inside, created_at=ago, key=key.key, provider="zai", region="eu", modality="image",
        status="failed", billed=False, model="", model_requested="nothing",
    )  # fmt: skip
    for _ in range(3):
        factories.usage(inside)
    url = reverse("requests", args=[inside.slug])
    filters = {
        "provider": "zai", "region": "eu", "modality": "image", "status": "failed", "model": "nothing",
        "key": key.key.id, "to": str(ago.date()), "id": old.id,
    }  # fmt: skip

    for asked in (*({name: value} for name, value in filters.items()), filters):
        page = client.get(url, asked).context["page"]
        assert [usage.id for usage in page] == [old.id], asked
    succeeded = client.get(url, {"status": "succeeded"}).context["page"]
    assert len(succeeded) == 3


def test_no_request_is_read_to_find_that_none_matches(client: Client, inside: Any) -> None:
    factories.usage(inside)
    factories.usage(factories.organization(), region="mars")
    url = reverse("requests", args=[inside.slug])

    with CaptureQueriesContext(connection) as caught:
        page = client.get(url, {"region": "mars"})

    assert page.context["page"] == []
    assert not [each for each in caught if '"billing_usage"' in each["sql"]]
    with CaptureQueriesContext(connection) as caught:
        client.get(url, {"region": "cn"})
    assert [each for each in caught if '"billing_usage"' in each["sql"]]


def test_htmx_gets_the_results_alone(client: Client, inside: Any) -> None:
    page = client.get(
        reverse("requests", args=[inside.slug]), headers={"hx-request": "true"}
    ).content

    assert b'id="results"' in page
    assert b"<html" not in page


def test_a_request_explains_its_charge_and_its_route(client: Client, inside: Any) -> None:
    usage = factories.usage(
        inside,
        routing={
            "candidates": [{"provider": "deepseek", "region": "cn", "model": "deepseek-v3.2", "tier": 0, "price": {}, "reason": "healthy"}],
            "excluded": [{"provider": "azure", "region": "eu", "model": "deepseek-v3.2", "rule": "region_not_allowed", "origin": "organization", "detail": "allowed regions: cn"}],
            "policy_version": 4,
        },
    )  # fmt: skip

    page = client.get(reverse("request_detail", args=[inside.slug, usage.id])).content.decode()

    for words in (
        "$0.28",
        "$0.0000028",
        "$0.000000084",
        "$0.000002884",
        "3 %",
        "Region not allowed",
        "version 4",
    ):
        assert words in page


@pytest.mark.parametrize("name", ["requests", "audit"])
@pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01", "2026-02-30", "yesterday"])
def test_a_day_that_is_none_is_said_and_narrows_nothing(
    client: Client, inside: Any, name: str, day: str
) -> None:
    page = client.get(reverse(name, args=[inside.slug]), {"from": day, "to": day})

    assert page.status_code == 200
    assert page.context["form"].errors.keys() == {"since", "until"}


def test_region_kind_and_id_narrow_the_log_and_its_file_alike(client: Client, inside: Any) -> None:
    one = factories.usage(inside, region="eu", modality="image")
    factories.usage(inside, region="us")
    url = reverse("requests", args=[inside.slug])
    csv = reverse("requests_csv", args=[inside.slug])

    for query in ({"region": "eu"}, {"modality": "image"}, {"id": one.id}):
        assert [row.id for row in client.get(url, query).context["page"]] == [one.id]
        lines = b"".join(client.get(csv, query).streaming_content).decode().splitlines()  # type: ignore[attr-defined]
        assert len(lines) == 2
        assert one.id in lines[1]
    assert client.get(url, {"id": "nonsense"}).context["page"] == []
    foreign = factories.usage(factories.organization())
    assert client.get(url, {"id": foreign.id}).context["page"] == []


def test_the_playgrounds_key_is_one_to_filter_by_once_it_was_used(
    client: Client, inside: Any
) -> None:
    from accounts.audit import SYSTEM
    from keys.playground import playground_key, playground_secret

    url = reverse("requests", args=[inside.slug])
    assert b">Playground</option>" not in client.get(url).content
    playground_secret(inside, actor=SYSTEM)
    hidden = playground_key(inside)
    assert hidden is not None
    used = factories.usage(inside, key=hidden)
    factories.usage(inside)

    page = client.get(url, {"key": hidden.id})

    assert [row.id for row in page.context["page"]] == [used.id]
    assert b">Playground</option>" in page.content


def test_a_search_that_takes_too_long_is_given_up_with_advice(
    client: Client, inside: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tokenhub.web.console import requests

    factories.usage(inside)
    settings.SEARCH_TIMEOUT_S = 0.05
    apply = requests.Filters.apply
    monkeypatch.setattr(
        requests.Filters,
        "apply",
        lambda self, usage: apply(self, usage).extra(where=["pg_sleep(5) IS NOT NULL"]),
    )

    response = client.get(reverse("requests", args=[inside.slug]))

    assert b"Narrow it" in response.content
    assert response.context["page"] == []


@pytest.mark.parametrize(
    ("modality", "route"),
    [
        ("text", "chat/completions"),
        ("image", "images/generations"),
        ("video", "video/generations"),
        ("embedding", "embeddings"),
    ],
)
def test_a_request_comes_with_its_call_as_code_and_without_a_prompt(
    client: Client, inside: Any, modality: str, route: str
) -> None:
    usage = factories.usage(inside, modality=modality, model_requested="it's a name", stream=True)

    page = client.get(reverse("request_detail", args=[inside.slug, usage.id]))

    curl, python, _ = page.context["samples"]
    assert route in curl.code
    compile(python.code, "sample", "exec")
    assert "prompt here" in curl.code
    assert "it'\\''s" in curl.code
    assert "thk_" not in page.content.decode()
    safe(page)


def test_months_that_are_archived_are_named_and_not_shown_as_none(
    client: Client, inside: Any
) -> None:
    factories.archived_usage(inside, date(2001, 1, 1))
    factories.archived_usage(inside, date(2001, 2, 1))
    factories.archived_usage(factories.organization(), date(2001, 3, 1))
    url = reverse("requests", args=[inside.slug])

    everything = client.get(url)
    february = client.get(url, {"from": "2001-02-03", "to": "2001-02-04"})
    march = client.get(url, {"from": "2001-03-01"})

    assert "Requests of January 2001, February 2001 are archived" in everything.text
    assert "No other request" in everything.text
    assert "Requests of February 2001 are archived" in february.text
    assert "archived" not in march.text
    for _ in range(60):
        factories.usage(inside)
    newest = client.get(url)
    assert "archived" not in newest.text
    assert "are archived" in client.get(f"{url}?{newest.context['older']}").text


def test_an_archived_request_is_said_to_be_with_its_entry_in_the_ledger(
    client: Client, inside: Any
) -> None:
    factories.archived_usage(inside, date(2001, 1, 1))
    at = datetime(2001, 1, 20, tzinfo=UTC)
    archived = uuid.UUID(int=int(at.timestamp() * 1000) << 80)
    factories.charge(inside, id=archived, created_at=at.isoformat())
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("DELETE FROM billing_usage WHERE id = %s", [archived])
    other = f"req_{uuid.UUID(int=int(at.timestamp() * 1000) << 80 | 1).hex}"

    page = client.get(reverse("request_detail", args=[inside.slug, f"req_{archived.hex}"]))
    free = client.get(reverse("request_detail", args=[inside.slug, other]))
    log = client.get(reverse("requests", args=[inside.slug]), {"id": other})

    assert page.status_code == free.status_code == 404
    assert "Requests of January 2001 are archived" in page.text
    assert "Ledger entry 2" in page.text
    assert "no charge for this request" in free.text
    assert "Requests of January 2001 are archived" in log.text
