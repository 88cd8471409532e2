"""One ``Idempotency-Key``, one charge (M21, M22): whatever is repeated, at once, elsewhere or after a crash."""

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from django.db import connection, connections

from accounts.models import Organization
from billing.audit import audit
from billing.models import Claim, MediaTask, Transfer, Usage
from billing.services import take_back
from tests import factories
from tests.conftest import new_gateway
from tests.live import Gateway, Providers, marker
from tests.processes import Server, eventually, free_port

MESSAGES = [{"role": "user", "content": "x"}]
BODIES: dict[str, dict[str, Any]] = {
    "chat/completions": {"model": "deepseek-v3.2", "messages": MESSAGES, "max_tokens": 16},
    "messages": {"model": "deepseek-v3.2", "messages": MESSAGES, "max_tokens": 16},
    "responses": {"model": "deepseek-v3.2", "input": "x"},
    "embeddings": {"model": "text-embedding-3-small", "input": "x"},
    "images/generations": {"model": "gpt-image-2", "prompt": "A boat"},
    "video/generations": {"model": "sim-once-video", "prompt": "Waves"},
    "videos": {"model": "sim-once-video", "prompt": "Waves"},
}
MODEL = "deepseek/deepseek-v3.2"
LATE_MS = 3_000
# What a PNG begins with, and no more: nobody here looks at the picture.
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(64)


@pytest.fixture(scope="module", autouse=True)
def moving(catalogue: None, providers: Providers, django_db_blocker: Any) -> Iterator[None]:
    """A video that is made at one place."""
    place = ("novita", "us", "dashscope")
    with django_db_blocker.unblock():
        factories.offering("sim-once-video", "video", place, providers.url, amounts={"video_second_720p": 1_000})  # fmt: skip
        yield
        factories.withdraw("sim-once-video")
        connections.close_all()


@pytest.fixture(scope="module")
def patient_server(gateway_environ: dict[str, str], tmp_path_factory: Any) -> Iterator[Server]:
    """A second gateway process, that waits long for a provider."""
    directory = str(tmp_path_factory.mktemp("patient"))
    server = new_gateway(gateway_environ, DATA_DIR=directory, TOKENHUB_PLAIN_TIMEOUT_S="30").start()
    yield server
    server.stop()


@pytest.fixture
def patient(gateway: Gateway, patient_server: Server) -> Gateway:
    return Gateway(patient_server.url, gateway.providers)


@pytest.fixture
def tenant(committed: None) -> Organization:
    return factories.organization(credit_nano=10_000_000_000)


@pytest.fixture
def secret(tenant: Organization) -> str:
    return str(factories.key(tenant).secret)


def once(key: str | None = None) -> dict[str, str]:
    return {"idempotency-key": key or uuid.uuid4().hex}


def charges(tenant: Organization) -> int:
    """How many requests were charged; the books are in order."""
    assert audit(tenant) == []
    billed = Usage.objects.filter(organization=tenant, billed=True).count()
    assert Transfer.objects.filter(organization=tenant, kind="usage").count() - Transfer.objects.filter(organization=tenant, kind="reversal").count() == billed  # fmt: skip
    return int(billed)


def code(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def finished(tenant: Organization) -> bool:
    return not Claim.objects.filter(organization=tenant, finished_at=None).exists()


@pytest.mark.parametrize("path", BODIES)
def test_the_same_again_is_the_same_answer_and_one_charge(
    gateway: Gateway, tenant: Organization, secret: str, path: str
) -> None:
    model = BODIES[path]["model"]
    eventually(lambda: gateway.get(secret, f"models/{model}").status_code == 200)
    headers = once()

    first = gateway.post(secret, path, BODIES[path], headers)
    again = gateway.post(secret, path, BODIES[path], headers)

    assert first.status_code == 200, first.text
    assert again.content == first.content
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    for name in ("x-request-id", "x-tokenhub-cost-usd", "x-tokenhub-provider", "content-type"):
        assert again.headers[name] == first.headers[name]
    if "video" in path:
        assert MediaTask.objects.filter(organization=tenant).count() == 1
    else:
        assert charges(tenant) == 1
        assert Usage.objects.filter(organization=tenant).count() == 1


def test_a_form_again_is_the_same_though_its_boundary_is_another(
    gateway: Gateway, tenant: Organization, secret: str
) -> None:
    headers = {"authorization": f"Bearer {secret}", **once()}

    def edit(content: bytes) -> Any:
        return gateway.http.post(
            f"{gateway.url}/v1/images/edits",
            headers=headers,
            data={"model": "gpt-image-2", "prompt": "Bluer"},
            files={"image": ("a.png", content, "image/png")},
        )

    first, again, other = edit(PICTURE), edit(PICTURE), edit(PICTURE + b"x")

    assert first.status_code == 200, first.text
    assert first.request.headers["content-type"] != again.request.headers["content-type"]
    assert again.content == first.content
    assert code(other) == (422, "idempotency_key_reused")
    assert charges(tenant) == 1


def test_twenty_at_once_at_two_gateways_are_one_call_and_one_charge(
    gateway: Gateway, patient: Gateway, tenant: Organization, secret: str
) -> None:
    headers, mark = once(), marker()
    barrier = threading.Barrier(20)

    def one(number: int) -> Any:
        place = (gateway, patient)[number % 2]
        with httpx2.Client(timeout=30) as http:
            barrier.wait()
            mine = Gateway(place.url, gateway.providers, http)
            return mine.chat(secret, text=f"[[id={mark}]]", headers=headers)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(one, range(20)))

    served = [answer for answer in answers if answer.status_code == 200]
    assert len([a for a in served if "idempotent-replayed" not in a.headers]) == 1
    assert len({answer.content for answer in served}) == 1
    for answer in answers:
        if answer.status_code != 200:
            assert code(answer) == (409, "idempotency_in_progress")
            assert answer.headers["x-should-retry"] == "true"
            assert answer.headers["retry-after"] == "1"
    assert len(gateway.providers.calls(marker=mark)) == 1
    assert charges(tenant) == 1


def test_while_one_is_under_way_another_is_refused_without_waiting_for_it(
    gateway: Gateway, patient: Gateway, tenant: Organization, secret: str
) -> None:
    headers, mark = once(), marker()
    with under_way(patient, tenant, secret, mark, headers) as first:
        again = gateway.chat(secret, MODEL, mark, headers=headers)
        assert code(again) == (409, "idempotency_in_progress")
        assert not first.done()

    assert first.result().status_code == 200
    assert charges(tenant) == 1


def test_another_body_or_path_with_the_key_is_refused(
    gateway: Gateway, tenant: Organization, secret: str
) -> None:
    headers = once()
    first = gateway.post(secret, "chat/completions", BODIES["chat/completions"], headers)

    body = gateway.chat(secret, text="Something else", headers=headers)
    path = gateway.post(secret, "messages", BODIES["chat/completions"], headers)

    assert first.status_code == 200
    for refused in (body, path):
        assert code(refused) == (422, "idempotency_key_reused")
        assert refused.headers["x-should-retry"] == "false"
        assert refused.json()["error"]["original_request_id"] == first.headers["x-request-id"]
    assert charges(tenant) == 1


def test_other_organizations_are_independent_and_other_keys_of_ones_own_are_not(
    gateway: Gateway, tenant: Organization, secret: str
) -> None:
    headers = once()
    stranger = factories.organization(credit_nano=10_000_000_000)
    first = gateway.chat(secret, headers=headers)

    theirs = gateway.chat(factories.key(stranger).secret, headers=headers)
    ours = gateway.chat(factories.key(tenant).secret, headers=headers)

    assert theirs.status_code == 200
    assert theirs.headers["x-request-id"] != first.headers["x-request-id"]
    # Charged once; but what one key was answered, the secret of another does not open.
    assert code(ours) == (409, "idempotency_replayed")
    assert (charges(tenant), charges(stranger)) == (1, 1)


def test_a_stream_again_is_refused_with_the_id_of_the_one_that_was_charged(
    gateway: Gateway, tenant: Organization, secret: str
) -> None:
    headers = once()
    first = gateway.stream(secret, headers=headers)

    again = gateway.chat(secret, stream=True, headers=headers)

    assert first.done
    assert code(again) == (409, "idempotency_replayed")
    assert again.headers["x-should-retry"] == "false"
    name = first.response.headers["x-request-id"]
    assert again.json()["error"]["original_request_id"] == name
    assert charges(tenant) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_what_failed_is_served_when_it_comes_again(
    gateway: Gateway, tenant: Organization, secret: str, stream: bool
) -> None:
    headers, mark = once(), marker()
    mode = "disconnect" if stream else "http_error"
    gateway.providers.fault("deepseek", mode, contains=mark, times=1)
    body = {"text": mark, "headers": headers, "provider": {"only": ["deepseek"]}}

    def ask() -> bool:
        if stream:
            return gateway.stream(secret, **body).done
        return gateway.chat(secret, **body).status_code == 200

    assert not ask()
    assert ask()
    assert charges(tenant) == 1


def test_a_refused_request_leaves_its_key_free(gateway: Gateway) -> None:
    tenant = factories.organization()
    secret, headers = factories.key(tenant).secret, once()

    poor = gateway.chat(secret, headers=headers)
    factories.credit(tenant, 10_000_000_000)
    eventually(lambda: gateway.chat(secret).status_code == 200, what="the money being known")

    assert poor.status_code == 402
    assert gateway.chat(secret, headers=headers).status_code == 200


def test_a_gateway_killed_in_mid_call_leaves_the_key_to_the_next(
    gateway: Gateway, gateway_environ: dict[str, str], tenant: Organization, secret: str, tmp_path: Path
) -> None:  # fmt: skip
    headers, mark = once(), marker()
    more = {"DATA_DIR": str(tmp_path), "TOKENHUB_PLAIN_TIMEOUT_S": "30"}
    with serving(gateway, gateway_environ, **more) as (other, server):
        with under_way(other, tenant, secret, mark, headers) as first:
            server.kill()
        assert isinstance(first.exception(), httpx2.HTTPError)
    # The kill may have come before the provider had the call: it would be late for the next one.
    gateway.providers.lift_faults()

    again = eventually(lambda: served(gateway.chat(secret, MODEL, mark, headers=headers)))

    assert "idempotent-replayed" not in again.headers
    assert charges(tenant) == 1


def test_one_that_only_seemed_dead_is_not_charged_beside_the_one_that_took_over(
    gateway: Gateway, patient: Gateway, tenant: Organization, secret: str
) -> None:
    headers, mark = once(), marker()
    with under_way(patient, tenant, secret, mark, headers) as first:
        Claim.objects.filter(organization=tenant).update(holder="a session that has gone")
        again = gateway.chat(secret, MODEL, mark, headers=headers)

    assert again.status_code == 200
    assert code(first.result()) == (503, "service_unavailable")
    eventually(lambda: finished(tenant))
    assert charges(tenant) == 1
    # The end of the one that lost it has not taken the key from the other.
    repeated = gateway.chat(secret, MODEL, mark, headers=headers)
    assert repeated.headers["x-request-id"] == again.headers["x-request-id"]


def test_what_was_charged_and_not_delivered_is_neither_answered_nor_taken_over_until_put_right(
    gateway: Gateway, tenant: Organization, secret: str
) -> None:
    """As a gateway leaves it that is killed between charge and delivery."""
    headers = once()
    first = gateway.chat(secret, headers=headers)
    eventually(lambda: finished(tenant))
    Claim.objects.filter(organization=tenant).update(holder="gone", finished_at=None)

    assert code(gateway.chat(secret, headers=headers)) == (409, "idempotency_in_progress")

    take_back([first.headers["x-request-id"]], reason="not_delivered")
    again = gateway.chat(secret, headers=headers)
    assert again.status_code == 200
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert charges(tenant) == 1


def test_without_redis_an_answer_is_named_instead_of_repeated(
    gateway: Gateway, gateway_environ: dict[str, str], tenant: Organization, secret: str, tmp_path: Path
) -> None:  # fmt: skip
    headers = once()
    nobody = f"redis://127.0.0.1:{free_port()}/0"
    with serving(gateway, gateway_environ, DATA_DIR=str(tmp_path), REDIS_URL=nobody) as (other, _):
        first = other.chat(secret, headers=headers)
        again = other.chat(secret, headers=headers)

    assert first.status_code == 200
    assert code(again) == (409, "idempotency_replayed")
    assert again.json()["error"]["original_request_id"] == first.headers["x-request-id"]
    assert charges(tenant) == 1


def test_a_task_is_not_opened_for_a_request_that_has_lost_its_key(tenant: Organization) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT granted FROM billing_open_task(json_build_object('id', %s::uuid, 'organization_id',"
            " %s::uuid, 'hold_nano', 1000, 'claimed', true), 60)",
            [uuid.uuid4(), tenant.pk.removeprefix("org_")],
        )
        assert cursor.fetchone() == (-1,)


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "ümlaut"])
def test_what_is_no_key_is_refused(gateway: Gateway, secret: str, key: str) -> None:
    refused = gateway.http.post(
        f"{gateway.url}/v1/chat/completions",
        headers=[(b"authorization", f"Bearer {secret}".encode()), (b"idempotency-key", key.encode("latin-1"))],
        json=BODIES["chat/completions"],
    )  # fmt: skip

    assert code(refused) == (400, "invalid_request")
    assert refused.json()["error"]["param"] == "Idempotency-Key"


def test_neither_key_nor_words_are_stored(
    gateway: Gateway, tenant: Organization, secret: str
) -> None:
    headers, mark = once(), marker()
    gateway.chat(secret, text=mark, headers=headers)

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT row_to_json(c)::text, content || key FROM billing_claim c WHERE organization_id = %s",
            [tenant.pk.removeprefix("org_")],
        )
        text, digests = cursor.fetchone()
    for word in (mark, headers["idempotency-key"]):
        assert word not in text
        assert word.encode() not in bytes(digests)


def test_the_openai_sdk_that_lost_the_answer_is_given_it_again_for_one_charge(
    gateway: Gateway, tenant: Organization, secret: str
) -> None:
    mark = marker()
    with losing_the_first_answer(gateway.url) as (url, seen):
        client = openai.OpenAI(base_url=f"{url}/v1", api_key=secret, max_retries=3)
        answer = client.chat.completions.create(
            model="deepseek-v3.2",
            messages=[{"role": "user", "content": f"[[id={mark}]]"}],
            extra_headers=once(),
        )

    assert answer.choices[0].message.content
    assert seen[0] == 200
    assert len(seen) >= 2
    assert len(gateway.providers.calls(marker=mark)) == 1
    assert charges(tenant) == 1


def served(response: Any) -> Any:
    """The response, once it is one; until then it has to say that one is under way."""
    if response.status_code == 200:
        return response
    assert code(response) == (409, "idempotency_in_progress")
    return None


@contextmanager
def serving(
    gateway: Gateway, environ: dict[str, str], **more: str
) -> Iterator[tuple[Gateway, Server]]:
    """Another gateway process."""
    server = new_gateway(environ, **more).start()
    try:
        yield Gateway(server.url, gateway.providers), server
    finally:
        server.stop()


@contextmanager
def under_way(
    gateway: Gateway, tenant: Organization, secret: str, mark: str, headers: dict[str, str]
) -> Iterator["Future[Any]"]:
    """A call that a provider has, and answers late; the next one it answers at once."""
    gateway.providers.fault("deepseek", "slow", contains=mark, times=1, delay_ms=LATE_MS)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(lambda: gateway.chat(secret, MODEL, mark, headers=headers))
        eventually(
            lambda: Claim.objects.filter(organization=tenant).exists(),
            what="the call being under way",
        )
        yield first


@contextmanager
def losing_the_first_answer(target: str) -> Iterator[tuple[str, list[int]]]:
    """A way to the gateway that breaks when the first answer comes back; the statuses that came by."""
    seen: list[int] = []

    class Way(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            kept = ("authorization", "content-type", "idempotency-key")
            headers = {name: self.headers[name] for name in kept}
            answer = httpx2.post(f"{target}{self.path}", headers=headers, content=body, timeout=30)
            seen.append(answer.status_code)
            if len(seen) == 1:
                self.close_connection = True
                return
            self.send_response(answer.status_code)
            for name in ("content-type", "content-length", "x-should-retry", "retry-after"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Way)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
