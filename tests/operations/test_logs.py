"""What is logged is JSON, says which request and organization it is of, and never holds a credential (K1)."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx2
import pytest
from celery import Celery

from tests import factories
from tests.live import Gateway, Stripe
from tests.operations.conftest import Logged
from tests.processes import BASE_DIR, eventually
from tokenhub.operations.models import TaskRun
from tokenhub.redact import GONE, clean, redacted

CANARY = "thk_" + "Canary0" * 7


def own_redis(number: int) -> str:
    """A database of the suite's Redis that no other test uses."""
    parts = urlsplit(os.environ["REDIS_URL"])
    return urlunsplit(parts._replace(path=f"/{number}"))


def lines(path: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]
    assert found, path.read_text()
    return found


@pytest.fixture
def worker(gateway_environ: dict[str, str], tmp_path: Path) -> Iterator[Path]:
    """A worker with a queue of its own; the file it logs to."""
    environ = {
        **os.environ, **gateway_environ, "LOG_LEVEL": "DEBUG", "LOG_FORMAT": "json", "REDIS_URL": own_redis(9),
    }  # fmt: skip
    log = tmp_path / "worker.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "worker"],
            env=environ,
            cwd=BASE_DIR,
            stderr=file,
            stdout=file,
        )
    yield log
    process.terminate()
    process.wait(30)


def test_no_credential_is_in_the_log_of_console_and_gateway(
    logged_site: Logged, gateway: Gateway
) -> None:
    tenant = factories.organization(credit_nano=10**9)
    minted = factories.key(tenant)
    management = factories.key(tenant, kind="management")
    there = Gateway(logged_site.url, gateway.providers)
    http = httpx2.Client(base_url=logged_site.url, timeout=30)
    answer = there.chat(minted.secret)
    assert answer.status_code == 200
    gateway.providers.fault("deepseek", "http_error", status=500, times=20)
    there.chat(minted.secret, "deepseek/deepseek-v3.2")
    gateway.providers.lift_faults()
    there.chat(CANARY)
    there.chat("sk-" + CANARY)
    http.get(f"/docs/search/?q={CANARY}", headers={"cookie": f"sessionid={CANARY}"})
    http.get(f"/invite/{CANARY}/")
    http.get(
        f"/nothing/{CANARY}/",
        headers={"referer": f"https://x.example/?k={CANARY}", "user-agent": CANARY},
    )
    http.post("/accounts/login/", data={"login": "a@b.example", "password": CANARY})
    http.get("/api/v1/me/", headers={"authorization": f"Bearer {management.secret}"})
    http.get("/api/v1/me/", headers={"authorization": f"Bearer {CANARY}"})

    eventually(lambda: "api/v1/me/" in logged_site.log.read_text(), what="the last line")
    text = logged_site.log.read_text()
    for secret in (minted.secret, management.secret, CANARY):
        assert [line for line in text.splitlines() if secret in line] == []
    failed = [line for line in lines(logged_site.log) if line["event"] == "attempt_failed"]
    assert {line["organization"] for line in failed} == {tenant.id}
    assert all(line["request_id"].startswith("req_") for line in failed)
    pages = [line for line in lines(logged_site.log) if line["event"] == "request_finished"]
    assert any(line["request"].startswith("GET invite/<") for line in pages)
    assert all(line["request_id"] for line in pages)


def test_a_page_of_an_organization_is_logged_with_it_and_its_reader(
    logged_site: Logged, committed: None
) -> None:
    tenant = factories.organization()
    person = factories.member(tenant)
    http = httpx2.Client(base_url=logged_site.url, timeout=30, follow_redirects=True)
    page = http.get("/accounts/login/")
    token = page.text.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
    http.post(
        "/accounts/login/",
        data={"login": person.email, "password": factories.PASSWORD, "csrfmiddlewaretoken": token},
    )

    answer = http.get(f"/o/{tenant.slug}/keys/")

    assert answer.status_code == 200
    wanted = answer.headers["x-request-id"]
    (line,) = [
        each for each in lines(logged_site.log)
        if each.get("request_id") == wanted and each["event"] == "request_finished"
    ]  # fmt: skip
    assert (line["organization"], line["user_id"]) == (tenant.id, person.pk)
    assert factories.PASSWORD not in logged_site.log.read_text()


def test_a_worker_logs_its_jobs_by_their_id_and_no_credential(
    worker: Path, committed: None, stripe: Stripe
) -> None:
    sender = Celery(broker=own_redis(9))
    sender.send_task("tests.unknown", kwargs={"api_key": CANARY, "text": f"Bearer {CANARY}"})
    sent = sender.send_task("billing.tasks.reap_leases")

    eventually(
        lambda: TaskRun.objects.filter(run_id=sent.id, outcome="succeeded").exists(),
        within_s=60, what="the job",
    )  # fmt: skip
    eventually(lambda: "unknown" in worker.read_text(), what="the unknown job")

    text = worker.read_text()
    assert CANARY not in text
    assert any(line.get("task_id") == sent.id for line in lines(worker))


@pytest.mark.parametrize(
    "text",
    [
        CANARY, f"key={CANARY}!", "sk-abcdefghijklmnop", "sk-ant-api03-abcdefgh", "sk_live_abcdefgh12345678", "rk_test_abcdefgh12",
        "whsec_c2VjcmV0c2VjcmV0", "Authorization: Bearer abc.def-ghi_jkl", "bearer abcdefgh12345", "Basic YWxhZGRpbjpvcGVu",
        "redis://:pa55word@host/0", "postgres://me:pa55word@host/db", "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl",
    ],
)  # fmt: skip
def test_anything_like_a_credential_is_taken_out(text: str) -> None:
    assert GONE in redacted(text)
    for piece in (
        "Canary0Canary0",
        "pa55word",
        "abcdefgh",
        "c2VjcmV0",
        "YWxhZGRpbg",
        "abc.def",
        "eyJzdWIi",
    ):
        assert piece not in redacted(text)


@pytest.mark.parametrize(
    "text", ["req_0199c0a1b2c37d4e8f90a1b2c3d4e5f6", "org_0199c0", "deepseek-v3.2", "12 input tokens", "task-force one", "http://127.0.0.1:8000/x"]
)  # fmt: skip
def test_what_is_none_is_left(text: str) -> None:
    assert redacted(text) == text


def test_values_are_hidden_by_their_names_at_any_depth() -> None:
    told = {
        "password": "x",
        "deep": [{"x-api-key": "y", "input_tokens": 7, "credential": ["z"]}],
        "tokens": 3,
    }

    assert clean(told) == {
        "password": GONE, "deep": [{"x-api-key": GONE, "input_tokens": 7, "credential": GONE}], "tokens": 3,
    }  # fmt: skip
