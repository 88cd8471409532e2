"""Videos: begun once, followed to their end by whoever works, charged once at first success or not at all."""

import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import openai
import pytest
from django.db import DatabaseError, connection, connections
from django.utils import timezone

from accounts.webhooks.models import Event
from billing.audit import audit
from billing.models import Lease, MediaTask, Transfer, Usage, UsageDay
from billing.selectors import balance_of
from routing.models import Offering
from tests import factories
from tests.conftest import new_gateway
from tests.live import Gateway, Providers, marker
from tests.processes import Server, eventually
from tokenhub.gateway.media.follow import BEGUN_WITHIN, follow

CREDIT = 10_000_000_000
PATH = "video/generations"
# Three providers in both dialects, so that fail-over crosses from one to the other.
PLACES = [("alibaba", "sg", "dashscope"), ("azure", "eu", "openai"), ("novita", "us", "dashscope")]
SECOND, SHARP = 100_000_003, 150_000_001


@pytest.fixture(scope="module", autouse=True)
def moving(catalogue: None, providers: Providers, django_db_blocker: Any) -> Iterator[None]:
    """``sim-video`` at three providers."""
    amounts = {"video_second_720p": SECOND, "video_second_1080p": SHARP}
    with django_db_blocker.unblock():
        for place in PLACES:
            factories.offering("sim-video", "video", place, providers.url, amounts=amounts)
            # Of its own, so that what it fails with is not held against the other.
            factories.offering("sim-shaky", "video", place, providers.url, amounts=amounts)
        factories.offering("sim-priced", "video", PLACES[2], providers.url, amounts=amounts)
        yield
        factories.withdraw("sim-video")
        factories.withdraw("sim-shaky")
        factories.withdraw("sim-priced")
        connections.close_all()


@pytest.fixture(autouse=True)
def impatient(settings: Any) -> None:
    """Every look of a test finds its task due again."""
    settings.TASK_POLL_S = 0.1


@pytest.fixture
def secret(gateway: Gateway) -> str:
    """A key of an organization with money; the new model is known to the gateway."""
    minted = factories.key(factories.organization(credit_nano=CREDIT))
    eventually(
        lambda: gateway.get(minted.secret, "models/sim-video").status_code == 200,
        what="the catalogue with sim-video",
    )
    return str(minted.secret)


def fee(model_fee_nano: int) -> int:
    """With the service fee of 3 %."""
    return model_fee_nano + (model_fee_nano * 300 + 5_000) // 10_000


def begin(gateway: Gateway, secret: str, prompt: str = "Waves", **body: Any) -> str:
    """Begin a video; its id."""
    response = gateway.post(secret, PATH, {"model": "sim-video", "prompt": prompt, **body})
    assert response.status_code == 200, response.text
    return str(response.json()["id"])


def to_the_end(task_id: str, *, within_s: float = 20) -> MediaTask:
    """Follow until a task has ended; each look is as if some time had passed."""
    ahead = timedelta()

    def ended() -> MediaTask | None:
        nonlocal ahead
        ahead += timedelta(seconds=5)
        follow(timezone.now() + ahead)
        task: MediaTask = MediaTask.objects.get(pk=task_id)
        return None if task.open else task

    return eventually(ended, within_s=within_s, what=f"the end of {task_id}")  # type: ignore[return-value]


def held(task: MediaTask) -> int:
    """What is on hold of a task's organization."""
    return balance_of(task.organization).on_hold_nano


FLAT = {"prompt": "Waves", "duration": 7, "resolution": "1080P", "ratio": "9:16"}
SIZED = {"prompt": "Waves", "duration": 7, "width": 1080, "height": 1920}
NATIVE = {
    "input": {"prompt": "Waves"},
    "parameters": {"duration": 7, "resolution": "1080P", "ratio": "9:16", "prompt_extend": True},
}


@pytest.mark.parametrize("provider", ["alibaba", "azure"])
@pytest.mark.parametrize("body", [FLAT, SIZED, NATIVE], ids=["flat", "sized", "dashscope"])
def test_every_shape_reaches_both_kinds_of_provider_and_is_charged_to_the_nano(
    gateway: Gateway, secret: str, provider: str, body: dict[str, Any]
) -> None:
    created = gateway.post(secret, PATH, {"model": f"{provider}/sim-video", **body})

    answer, total = created.json(), fee(7 * SHARP)
    assert created.status_code == 200, answer
    assert answer["object"] == "video.generation.task"
    assert answer["status"] == "pending"
    assert answer["model"] == f"{provider}/sim-video"
    assert created.headers["x-tokenhub-provider"] == provider
    assert created.headers["x-tokenhub-cost-usd"] == f"1.{total - 10**9:09d}".rstrip("0")
    if "input" in body:
        assert answer["output"] == {"task_id": answer["id"], "task_status": "PENDING"}

    task = to_the_end(answer["id"])

    polled = gateway.get(secret, f"video/tasks/{answer['id']}?model=sim-video").json()
    assert polled["status"] == "succeeded"
    assert polled["output"]["task_status"] == "SUCCEEDED"
    assert polled["usage"]["duration"] == 7
    assert polled["usage"]["SR"] == 1080
    if provider == "alibaba":
        assert b"ftyp" in gateway.http.get(polled["output"]["video_url"]).content
    usage = Usage.objects.get(id=created.headers["x-request-id"])
    assert (usage.modality, usage.billed, usage.total_nano) == ("video", True, total)
    assert usage.units == {"video_second_1080p": 7}
    assert usage.created_at == task.created_at
    assert Transfer.objects.get(reference=usage.id).amount_nano == total
    day = UsageDay.objects.get(organization=task.organization)
    assert (day.billed, day.model_fee_nano) == (1, 7 * SHARP)
    assert held(task) == 0
    assert balance_of(task.organization).balance_nano == CREDIT - total
    assert audit(task.organization) == []


def test_the_money_is_held_in_the_database_from_the_beginning(
    gateway: Gateway, secret: str
) -> None:
    task = MediaTask.objects.get(pk=begin(gateway, secret, "[[hang]]"))

    assert held(task) == task.hold_nano == fee(5 * SECOND)
    assert balance_of(task.organization).balance_nano == CREDIT
    assert Lease.objects.get(pk=task.id.replace("task_", "lease_")).closed_at is None
    assert audit(task.organization) == []


def test_an_openai_client_begins_waits_and_downloads(gateway: Gateway, secret: str) -> None:
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=secret, max_retries=0)
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.2):
            follow(timezone.now() + timedelta(seconds=10))
        connections.close_all()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for provider in ("azure", "alibaba"):
            video = client.videos.create(
                model=f"{provider}/sim-video", prompt="Waves", seconds="4", size="720x1280"
            )
            assert (video.object, video.status, video.seconds) == ("video", "queued", "4")
            video = eventually(
                lambda v=video: (
                    done if (done := client.videos.retrieve(v.id)).status == "completed" else None
                ),
                what="the video",
            )
            assert video.progress == 100
            content = client.videos.download_content(video.id).read()
            assert b"ftyp" in content
    finally:
        stop.set()
        worker.join()
    with pytest.raises(openai.NotFoundError):
        client.videos.retrieve("task_" + "0" * 32)


def test_a_failure_is_free_and_gives_the_money_back(gateway: Gateway, secret: str) -> None:
    task = to_the_end(begin(gateway, secret, "[[fail]]"))

    answer = gateway.get(secret, f"video/tasks/{task.id}").json()
    assert answer["status"] == "failed"
    assert answer["error"]["code"] == "provider_failed"
    assert answer["output"]["task_status"] == "FAILED"
    assert held(task) == 0
    assert balance_of(task.organization).balance_nano == CREDIT
    usage = Usage.objects.get(id=task.request_id)
    assert (usage.status, usage.billed, usage.error_code) == ("failed", False, "provider_failed")
    assert audit(task.organization) == []


@pytest.mark.parametrize(("prompt", "status"), [("[[flip]]", "succeeded"), ("[[late]]", "failed")])
def test_the_first_end_is_the_end(gateway: Gateway, secret: str, prompt: str, status: str) -> None:
    """A provider that says succeeded and then failed, or the other way around."""
    task = to_the_end(begin(gateway, secret, prompt))
    charged = balance_of(task.organization).balance_nano

    for hours in range(1, 4):
        follow(timezone.now() + timedelta(hours=hours))

    task.refresh_from_db()
    assert task.status == status
    assert balance_of(task.organization).balance_nano == charged
    assert charged == CREDIT - (fee(5 * SECOND) if status == "succeeded" else 0)
    assert Usage.objects.filter(organization=task.organization).count() == 1
    assert audit(task.organization) == []


def test_a_video_that_never_ends_fails_at_its_deadline(gateway: Gateway, secret: str) -> None:
    task = MediaTask.objects.get(pk=begin(gateway, secret, "[[hang]]"))
    eventually(lambda: _look(task, timedelta(minutes=1)).status == "running", what="running")

    ended = _look(task, timedelta(hours=1, seconds=1))

    assert (ended.status, ended.error_code) == ("failed", "deadline_exceeded")
    assert held(ended) == 0
    assert balance_of(ended.organization).balance_nano == CREDIT
    assert audit(ended.organization) == []


def _look(task: MediaTask, after: timedelta) -> MediaTask:
    MediaTask.objects.filter(pk=task.pk).update(next_poll_at=task.created_at)
    follow(task.created_at + after)
    task.refresh_from_db()
    return task


def test_a_provider_that_is_away_for_a_while_loses_nothing(gateway: Gateway, secret: str) -> None:
    name = marker()
    task = MediaTask.objects.get(pk=begin(gateway, secret, f"[[id={name}]]"))
    for mode in ("http_error", "refuse", "malformed", "truncate", "html"):
        gateway.providers.fault("*", mode, contains=name, method="GET")
        assert _look(task, timedelta(minutes=1)).open
    gateway.providers.lift_faults()

    assert to_the_end(task.id).status == "succeeded"
    assert balance_of(task.organization).balance_nano == CREDIT - fee(5 * SECOND)


@pytest.mark.parametrize("prompt", ["[[url=javascript:alert(1)]]", "[[url=http://10.0.0.1/v.mp4]]"])
def test_a_success_that_leads_nowhere_is_a_failure(
    gateway: Gateway, secret: str, prompt: str
) -> None:
    task = to_the_end(begin(gateway, secret, prompt, model="alibaba/sim-video"))

    assert (task.status, task.media_url) == ("failed", "")
    assert balance_of(task.organization).balance_nano == CREDIT


@pytest.mark.parametrize(("made", "charged"), [(3, 3), (9, 5)])
def test_no_more_is_charged_than_was_delivered_nor_than_was_asked_for(
    gateway: Gateway, secret: str, made: int, charged: int
) -> None:
    task = to_the_end(begin(gateway, secret, f"[[seconds={made}]]"))

    assert task.total_nano == fee(charged * SECOND)
    assert held(task) == 0
    assert audit(task.organization) == []


def test_a_storm_of_polls_reaches_no_provider(gateway: Gateway, secret: str) -> None:
    name = marker()
    task_id = begin(gateway, secret, f"[[hang]] [[id={name}]]")

    answers = [gateway.get(secret, f"video/tasks/{task_id}") for _ in range(100)]

    assert {answer.status_code for answer in answers} == {200}
    assert [call["path"] for call in gateway.providers.calls(marker=name)] != []
    assert len(gateway.providers.calls(marker=name)) == 1  # the creation


def test_workers_at_once_ask_once_and_charge_once(gateway: Gateway, secret: str) -> None:
    name = marker()
    task_id = begin(gateway, secret, f"[[id={name}]]")
    eventually(
        lambda: time.time() - MediaTask.objects.get(pk=task_id).created_at.timestamp() > 1,
        what="the provider having finished",
    )
    barrier = threading.Barrier(6)

    def work() -> None:
        barrier.wait()
        follow(timezone.now() + timedelta(seconds=5))
        connections.close_all()

    workers = [threading.Thread(target=work) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    task = MediaTask.objects.get(pk=task_id)
    polls = [call for call in gateway.providers.calls(marker=name) if "tasks" in call["path"] or "videos/" in call["path"]]  # fmt: skip
    assert task.status == "succeeded"
    assert len(polls) == 1
    assert Transfer.objects.filter(organization=task.organization, kind="usage").count() == 1
    assert audit(task.organization) == []


def test_an_end_that_is_told_by_two_at_once_is_one_charge(gateway: Gateway, secret: str) -> None:
    """Even if two had asked: the database takes the first word."""
    from billing.media import End, finish

    task = MediaTask.objects.get(pk=begin(gateway, secret, "[[hang]]"))
    factories.endpoint(task.organization, events=["video.task.succeeded", "video.task.failed"])
    end = End(
        "succeeded", media_url="https://example.com/v.mp4", units={"video_second_720p": 5},
        lines=[{"unit": "video_second_720p", "count": 5, "price": SECOND, "fee": 5 * SECOND}],
        model_fee_nano=5 * SECOND, service_fee_nano=fee(5 * SECOND) - 5 * SECOND,
    )  # fmt: skip
    barrier, words = threading.Barrier(5), []

    def tell(number: int) -> None:
        barrier.wait()
        told = end if number % 2 else End("failed", error_code="provider_failed")
        words.append(finish(task, told))
        connections.close_all()

    tellers = [threading.Thread(target=tell, args=(number,)) for number in range(5)]
    for teller in tellers:
        teller.start()
    for teller in tellers:
        teller.join()

    assert sorted(words) == [False] * 4 + [True]
    assert audit(task.organization) == []
    task.refresh_from_db()
    event = Event.objects.get(organization=task.organization)  # and told once, as it ended
    assert event.kind == f"video.task.{task.status}"
    assert event.data == {"id": task.id, "status": task.status, "model": task.model}


def test_a_price_that_changes_meanwhile_is_not_this_videos(gateway: Gateway, secret: str) -> None:
    task_id = begin(gateway, secret, model="sim-priced")
    offered = Offering.objects.get(model__slug="sim-priced")
    factories.price(offered, {"video_second_720p": 9 * SECOND, "video_second_1080p": 9 * SHARP})

    task = to_the_end(task_id)

    assert task.total_nano == fee(5 * SECOND)
    assert Usage.objects.get(id=task.request_id).price_version != offered.prices.first().pk


def test_a_creation_whose_outcome_nobody_knows_is_tried_elsewhere_and_charged_once(
    gateway: Gateway, secret: str
) -> None:
    name = marker()
    gateway.providers.fault("alibaba", "disconnect", contains=name, method="POST")

    task_id = begin(
        gateway, secret, f"[[id={name}]]", provider={"order": ["alibaba", "azure", "novita"]}
    )

    task = to_the_end(task_id)
    assert task.provider != "alibaba"
    assert [attempt["provider"] for attempt in task.attempts] == ["alibaba", task.provider]
    assert Transfer.objects.filter(organization=task.organization, kind="usage").count() == 1
    assert balance_of(task.organization).balance_nano == CREDIT - fee(5 * SECOND)


def test_a_creation_that_fails_everywhere_is_free(gateway: Gateway, secret: str) -> None:
    name = marker()
    gateway.providers.fault("*", "http_error", contains=name, method="POST")

    response = gateway.post(secret, PATH, {"model": "sim-shaky", "prompt": f"[[id={name}]]"})

    assert response.status_code == 502
    assert len(response.json()["error"]["attempts"]) == 3
    usage = Usage.objects.get(id=response.headers["x-request-id"])
    task = MediaTask.objects.get(pk=usage.id.replace("req_", "task_"))
    assert (task.status, task.error_code, usage.billed) == ("failed", "providers_failed", False)
    assert held(task) == 0
    assert audit(task.organization) == []


def test_a_prompt_that_the_provider_refuses_is_the_clients_mistake(
    gateway: Gateway, secret: str
) -> None:
    name = marker()
    gateway.providers.fault("*", "http_error", status=400, contains=name, method="POST")

    response = gateway.post(secret, PATH, {"model": "sim-shaky", "prompt": f"[[id={name}]]"})

    assert response.status_code == 400
    assert len(gateway.providers.calls(marker=name)) == 1
    assert "sim-" not in response.json()["error"]["message"]


def test_a_gateway_killed_between_creation_and_record_charges_nothing(
    gateway: Gateway, secret: str, gateway_environ: dict[str, str], tmp_path: Any
) -> None:
    """The provider made a video that nobody can name: the money comes back, nothing is charged."""
    name = marker()
    server = new_gateway(gateway_environ, DATA_DIR=str(tmp_path)).start()
    gateway.providers.fault("*", "timeout", contains=name, method="POST")
    call = threading.Thread(target=_begin_and_lose, args=(server, secret, name))
    call.start()
    eventually(lambda: gateway.providers.calls(marker=name), what="the creation under way")
    server.kill()
    call.join()
    task = MediaTask.objects.get(session_id=name)
    assert (task.status, task.upstream_id) == ("pending", "")
    assert held(task) == fee(5 * SECOND)

    _look(task, BEGUN_WITHIN + timedelta(seconds=1))

    assert (task.status, task.error_code) == ("failed", "creation_unknown")
    assert held(task) == 0
    assert balance_of(task.organization).balance_nano == CREDIT
    assert audit(task.organization) == []


def _begin_and_lose(server: Server, secret: str, name: str) -> None:
    import httpx2

    with pytest.raises(httpx2.HTTPError):
        httpx2.post(
            f"{server.url}/v1/{PATH}",
            headers={"authorization": f"Bearer {secret}", "x-session-id": name},
            json={"model": "sim-video", "prompt": f"[[id={name}]]"},
            timeout=30,
        )


def test_a_hold_outlives_the_gateway_and_the_video_is_charged(
    gateway: Gateway, secret: str, gateway_environ: dict[str, str], tmp_path: Any
) -> None:
    server = new_gateway(gateway_environ, DATA_DIR=str(tmp_path)).start()
    other = Gateway(server.url, gateway.providers)
    eventually(lambda: other.get(secret, "models/sim-video").status_code == 200)
    task_id = begin(other, secret)
    server.kill()

    task = to_the_end(task_id)

    assert task.status == "succeeded"
    answer = gateway.get(secret, f"video/tasks/{task_id}").json()
    assert answer["usage"]["cost_usd"]
    assert balance_of(task.organization).balance_nano == CREDIT - fee(5 * SECOND)
    assert audit(task.organization) == []


def test_the_balance_covers_every_video_on_its_way(gateway: Gateway, secret: str) -> None:
    price = fee(5 * SECOND)
    poor = factories.key(factories.organization(credit_nano=2 * price)).secret

    first, second = (begin(gateway, poor, "[[hang]]") for _ in range(2))
    began_s = time.monotonic()
    refused = gateway.post(poor, PATH, {"model": "sim-video", "prompt": "One more"})

    assert refused.status_code == 402
    assert refused.json()["error"]["code"] == "insufficient_balance"
    assert time.monotonic() - began_s < 8  # nobody waits for what videos hold
    assert first != second


def test_another_organizations_task_is_not_found(gateway: Gateway, secret: str) -> None:
    task_id = begin(gateway, secret, "[[hang]]")
    stranger = factories.key(factories.organization()).secret

    for path in (f"video/tasks/{task_id}", f"videos/{task_id}", f"videos/{task_id}/content"):
        assert gateway.get(stranger, path).status_code == 404
    for odd in ("task_x", "req_" + "0" * 32, task_id.upper(), "%00", "../models"):
        assert gateway.get(secret, f"video/tasks/{odd}").status_code in (404, 405)


def test_the_boundaries_hold_for_videos(gateway: Gateway, secret: str) -> None:
    name = marker()
    body = {"model": "sim-video", "prompt": f"[[id={name}]]", "provider": {"only": ["azure"], "regions": ["us"]}}  # fmt: skip

    response = gateway.post(secret, PATH, body)

    assert (response.status_code, response.json()["error"]["code"]) == (403, "outside_boundaries")
    assert gateway.providers.calls(marker=name) == []


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "prompt"), ({"prompt": " "}, "prompt"), ({"prompt": "x", "duration": 0}, "duration"),
        ({"prompt": "x", "duration": 61}, "duration"), ({"prompt": "x", "duration": 5.5}, "duration"),
        ({"prompt": "x", "resolution": "480P"}, "resolution"), ({"prompt": "x", "ratio": "2:1"}, "ratio"),
        ({"prompt": "x", "width": 1280}, "width"), ({"prompt": "x", "width": 1281, "height": 3}, "width"),
        ({"prompt": "x", "width": 1280, "height": 720, "ratio": "16:9"}, "resolution"),
        ({"input": {}}, "input.prompt"), ({"input": {"prompt": "x"}, "parameters": {"duration": -1}}, "parameters.duration"),
        ({"input": {"prompt": "x"}, "parameters": {"size": "big"}}, "parameters.size"),
        ({"prompt": "x", "seed": 1, "fancy": 1}, "fancy"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(
    gateway: Gateway, secret: str, body: dict[str, Any], param: str
) -> None:
    response = gateway.post(secret, PATH, {"model": "sim-video", **body})

    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


def test_models_lists_videos_with_their_price(gateway: Gateway, secret: str) -> None:
    entry = gateway.get(secret, "models/alibaba/wan2.7-t2v").json()

    assert entry["modality"] == "video"
    assert set(entry["pricing"]) == {"video_second_720p", "video_second_1080p"}


CHANGES = [
    "organization_id = gen_random_uuid()", "hold_nano = hold_nano + 1", "deadline_at = now()",
    "upstream_id = 'x'", "quoted_nano = 0", "price = '{}'", "provider = 'x'", "created_at = now()",
    "status = 'succeeded', finished_at = now()", "status = 'failed', finished_at = now()",
    "total_nano = 1", "media_url = 'https://example.com'",
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_the_database_refuses_what_must_not_happen_to_a_task(committed: None, change: str) -> None:
    task = factories.media_task(factories.organization(credit_nano=CREDIT))

    with pytest.raises(DatabaseError), connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE billing_mediatask SET {change} WHERE id = %s", [task.id.removeprefix("task_")]
        )


def test_the_database_refuses_to_remove_tasks_and_to_end_them_twice(
    gateway: Gateway, secret: str
) -> None:
    task = to_the_end(begin(gateway, secret))
    number = task.id.removeprefix("task_")
    for statement in (
        "DELETE FROM billing_mediatask WHERE id = %s",
        "UPDATE billing_mediatask SET status = 'failed', total_nano = 0, media_url = '' WHERE id = %s",
        "UPDATE billing_mediatask SET status = 'running', finished_at = NULL WHERE id = %s",
        "UPDATE billing_mediatask SET media_url = 'https://elsewhere.example' WHERE id = %s",
    ):
        with pytest.raises(DatabaseError), connection.cursor() as cursor:
            cursor.execute(statement, [number])
    with pytest.raises(DatabaseError), connection.cursor() as cursor:
        cursor.execute("TRUNCATE billing_mediatask")


def test_the_address_of_a_video_is_forgotten_after_two_days(gateway: Gateway, secret: str) -> None:
    from billing.media import forget_urls

    task = to_the_end(begin(gateway, secret, model="alibaba/sim-video"))
    assert task.finished_at is not None
    forget_urls(task.finished_at + timedelta(hours=47))
    assert MediaTask.objects.get(pk=task.pk).media_url

    forget_urls(task.finished_at + timedelta(hours=49))

    answer = gateway.get(secret, f"video/tasks/{task.id}").json()
    assert answer["status"] == "succeeded"
    assert "video_url" not in answer["output"]
    assert gateway.get(secret, f"videos/{task.id}/content").status_code == 404


def test_a_mixed_run_audits_clean(gateway: Gateway, secret: str) -> None:
    prompts = ["Waves", "[[fail]]", "Sand", "[[flip]]", "[[late]]", "[[seconds=2]]"]
    ids = [begin(gateway, secret, prompt) for prompt in prompts]
    gateway.post(secret, "images/generations", {"model": "wan2.6-t2i", "prompt": "A fox", "n": 2})
    gateway.post(secret, "images/generations", {"model": "gpt-image-2", "prompt": "A fox"})
    gateway.chat(secret)

    ended = [to_the_end(task_id) for task_id in ids]

    tenant = ended[0].organization
    assert [task.status for task in ended] == ["succeeded", "failed", "succeeded", "succeeded", "failed", "succeeded"]  # fmt: skip
    spent = sum(
        usage.total_nano for usage in Usage.objects.filter(organization=tenant, billed=True)
    )
    assert balance_of(tenant).balance_nano == CREDIT - spent
    eventually(lambda: balance_of(tenant).on_hold_nano == 0, what="the leases' return")
    assert audit(tenant) == []
    assert Usage.objects.filter(organization=tenant).count() == 9


def test_an_audit_finds_a_task_that_was_tampered_with(gateway: Gateway, secret: str) -> None:
    task = to_the_end(begin(gateway, secret))
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE billing_mediatask DISABLE TRIGGER guard")
        cursor.execute(
            "UPDATE billing_mediatask SET total_nano = total_nano - 1 WHERE id = %s",
            [task.id.removeprefix("task_")],
        )
        try:
            found = audit(task.organization)
        finally:
            cursor.execute(
                "UPDATE billing_mediatask SET total_nano = total_nano + 1 WHERE id = %s",
                [task.id.removeprefix("task_")],
            )
            cursor.execute("ALTER TABLE billing_mediatask ENABLE TRIGGER guard")

    assert [difference.check for difference in found] == [
        "a task that succeeded has its one charge, any other none"
    ]


def test_the_clock_of_a_task_is_utc(gateway: Gateway, secret: str) -> None:
    task = MediaTask.objects.get(pk=begin(gateway, secret, "[[hang]]"))

    assert isinstance(task.created_at, datetime)
    assert abs((timezone.now() - task.created_at).total_seconds()) < 30
    assert task.deadline_at - task.created_at == timedelta(hours=1)
