"""The process: one port, a clean end, nothing from outside."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import stripe

from tests.processes import BASE_DIR, free_port
from tests.stack.stripe.simulation import VISA, Sim, client, running, submit


def test_everything_outlives_a_restart_and_a_reset_forgets_it(tmp_path: Path) -> None:
    state = tmp_path / "stripe.json"
    server = running(
        "--state", str(state), "--webhook-url", f"http://127.0.0.1:{free_port()}/nobody"
    )
    try:
        sim = Sim(server)
        customer, method = sim.saved_card()
        session = sim.session(customer)
        key: Any = {"idempotency_key": "over-the-restart"}
        made = sim.api.customers.create({"email": "key@example.com"}, key)
        waiting = sim.control("GET", "/")["undelivered"]
        assert waiting > 0
        server.kill()  # no chance to tidy up
        server.start()
        assert sim.api.payment_methods.retrieve(method).customer == customer
        assert sim.api.customers.create({"email": "key@example.com"}, key).id == made.id
        assert sim.off_session(customer, method).status == "succeeded"
        assert submit(session.url, card=VISA).status == 303
        assert sim.control("GET", "/")["undelivered"] > waiting
        assert oct(state.stat().st_mode & 0o777) == "0o600"
        sim.control("POST", "/reset")
        assert sim.api.customers.list().data == []
        assert [path.name for path in tmp_path.iterdir()] == ["stripe.json"]
    finally:
        server.stop()
    assert server.process is not None
    assert server.process.returncode == 0


def test_only_the_given_key_is_taken() -> None:
    server = running("--secret-key", "sk_test_only")
    try:
        with pytest.raises(stripe.AuthenticationError):
            client(server.url).v1.customers.list()
        right = stripe.StripeClient("sk_test_only", base_addresses={"api": server.url})
        assert right.v1.customers.list().data == []
    finally:
        server.stop()


@pytest.mark.parametrize("debug", ["0", "false", "False", ""])
def test_it_never_starts_in_production(debug: str) -> None:
    ended = _run({"DEBUG": debug})
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("times", [1, 300])
def test_it_says_when_it_is_ready_and_ends_however_often_it_is_told(times: int) -> None:
    environ = {name: value for name, value in os.environ.items() if name != "DEBUG"}
    with subprocess.Popen(
        [sys.executable, "-m", "tokenhub.stack.stripe", "--port", "0"],
        env=environ, cwd=BASE_DIR, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            assert re.fullmatch(r"ready http://127\.0\.0\.1:\d+\n", process.stdout.readline())
            process.send_signal(signal.SIGINT)
            for _ in range(times - 1):  # as a parent of many threads that dies: one for each
                process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
        finally:
            process.kill()


def _run(environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tokenhub.stack.stripe", "--port", "0"],
        env={**os.environ, **environ}, cwd=BASE_DIR, capture_output=True, text=True, timeout=20,
        check=False,
    )  # fmt: skip
