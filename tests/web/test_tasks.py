"""A video's page and its place in the request log."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from billing.media import End, finish, forget_urls
from billing.models import MediaTask
from tests import factories
from tests.web.pages import safe
from tokenhub.gateway.media.links import VideoLink, links

pytestmark = pytest.mark.django_db

SUCCESS = End(
    "succeeded", media_url="https://media.example.com/v.mp4?a=1&b=2", units={"video_second_720p": 5},
    lines=[{"unit": "video_second_720p", "count": 5, "price": 100_000_000, "fee": 500_000_000}],
    model_fee_nano=500_000_000, service_fee_nano=15_000_000,
)  # fmt: skip


def page_of(client: Client, tenant: Any, task: MediaTask, **headers: str) -> str:
    response = client.get(reverse("task", args=[tenant.slug, task.id]), headers=headers)
    assert response.status_code == 200
    return response.content.decode()


def test_a_video_on_its_way_shows_its_price_and_looks_again(client: Client, inside: Any) -> None:
    task = factories.media_task(inside)

    page = page_of(client, inside, task)

    assert "Pending · $0.515 on hold" in page
    assert "5 × $0.10" in page
    assert 'hx-trigger="every 4s"' in page
    safe(client.get(reverse("task", args=[inside.slug, task.id])))
    fragment = page_of(client, inside, task, **{"hx-request": "true"})
    assert "<html" not in fragment
    assert 'id="state"' in fragment


def test_a_finished_video_links_to_itself_and_to_its_request(client: Client, inside: Any) -> None:
    task = factories.media_task(inside)
    assert finish(task, SUCCESS)

    page = page_of(client, inside, task)

    assert "Succeeded · charged $0.515" in page
    token = re.search(r'href="[^"]*/v1/media/([^"]+)"', page)
    assert token is not None
    opened = links().open(token.group(1))
    assert isinstance(opened, VideoLink)
    assert f"task_{opened.task.hex}" == task.id
    assert "media.example.com" not in page
    assert 'rel="noreferrer noopener"' in page
    assert reverse("request_detail", args=[inside.slug, task.request_id]) in page
    assert "hx-trigger" not in page
    request = client.get(reverse("request_detail", args=[inside.slug, task.request_id]))
    assert reverse("task", args=[inside.slug, task.id]) in request.content.decode()


def test_a_failure_says_why_and_that_it_was_free(client: Client, inside: Any) -> None:
    task = factories.media_task(inside)
    finish(task, End("failed", error_code="deadline_exceeded", error_message="Not in time."))

    page = page_of(client, inside, task)

    assert "did not make the video in time" in page
    assert "Nothing was charged" in page
    assert "Open the video" not in page


def test_an_address_that_was_forgotten_is_said(client: Client, inside: Any) -> None:
    task = factories.media_task(inside)
    finish(task, SUCCESS)
    forget_urls(datetime.now(UTC) + timedelta(days=3))

    page = page_of(client, inside, task)

    assert "was forgotten" in page
    assert "media.example.com" not in page


def test_a_video_that_no_provider_began_has_no_price(client: Client, inside: Any) -> None:
    task = factories.media_task(inside, begun=False)

    page = page_of(client, inside, task)

    assert "none began it" in page


def test_the_log_lists_what_is_on_its_way_and_marks_what_was_made(
    client: Client, inside: Any
) -> None:
    task = factories.media_task(inside)
    done = factories.media_task(inside)
    finish(done, SUCCESS)
    url = reverse("requests", args=[inside.slug])

    page = client.get(url).content.decode()
    filtered = client.get(url, {"status": "failed"}).content.decode()

    assert "Videos on their way" in page
    assert reverse("task", args=[inside.slug, task.id]) in page
    assert reverse("task", args=[inside.slug, done.id]) not in page
    assert reverse("request_detail", args=[inside.slug, done.request_id]) in page
    assert "Videos on their way" not in filtered


def test_the_page_asks_little_of_the_database(
    client: Client, inside: Any, django_assert_max_num_queries: Any
) -> None:
    task = factories.media_task(inside)

    with django_assert_max_num_queries(14):
        page_of(client, inside, task)


@pytest.mark.parametrize("bad", ["task_x", "task_" + "0" * 32, "key_" + "a" * 32, "%00"])
def test_an_id_that_is_none_is_not_found(client: Client, inside: Any, bad: str) -> None:
    assert client.get(f"/o/{inside.slug}/tasks/{bad}/").status_code == 404
