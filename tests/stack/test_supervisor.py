"""The supervisor of ``make run``: starting, restarting and stopping real processes."""

import json
import os
import re
import signal
import socket
import stat
import urllib.request
from collections.abc import Iterator

import pytest

from tests.stack.clients import until
from tests.stack.miniature import Platform, is_sleeping, platform

READY_KEYS = {
    "url", "admin_url", "docs_url", "demo", "admin", "providers", "stripe_url", "mailbox_url",
}  # fmt: skip


@pytest.fixture
def place() -> Iterator[Platform]:
    with platform() as made:
        yield made


def answers(place: Platform) -> int:
    """The id of the web process that answers now, 0 if none does."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{place.port}/readyz", timeout=5) as answer:
            return int(json.load(answer)["pid"])
    except OSError:
        return 0


def secrets_on_command_lines(place: Platform) -> list[str]:
    """What every account of the machine could read in the list of processes."""
    secret = re.compile(r"whsec_|sk_test_|th[km]_|://[^/ ]*:[^/ ]+@|[0-9a-f]{32}")
    lines = [" ".join(process.cmdline()) for process in place.processes()]
    assert len(lines) > 4
    return [line for line in lines if secret.search(line)]


def test_starts_everything_says_so_and_stops_everything(place: Platform) -> None:
    run = place.start()
    ready = run.ready()

    assert set(ready) == READY_KEYS
    assert ready["url"] == f"http://127.0.0.1:{place.port}"
    assert ready["mailbox_url"] == f"{ready['url']}/dev/mailbox/"
    with urllib.request.urlopen(f"{ready['stripe_url']}/_control/", timeout=5) as answer:
        assert answer.status == 200
    assert ready["demo"]["api_key"] == "thk_x"
    assert ready["providers"]
    for provider in ready["providers"]:
        assert set(provider) == {"slug", "url", "control_url"}
    ready_path = place.data_dir / "ready.json"
    assert stat.S_IMODE(ready_path.stat().st_mode) == 0o600
    assert "PostgreSQL … ready (" in run.output
    assert f"curl {ready['url']}/v1/chat/completions" in run.output
    assert "from openai import OpenAI" in run.output
    assert secrets_on_command_lines(place) == []

    assert run.end(signal.SIGINT) == 0

    assert place.processes() == []
    assert not ready_path.exists()
    assert not place.postgres.is_running()
    assert not place.redis.is_running()


def test_what_dies_is_started_again(place: Platform) -> None:
    run = place.start()
    run.ready()
    web, postgres, redis = answers(place), place.postgres.pid, place.redis.pid
    worker, helper = place.pid("worker"), place.pid("worker-helper")
    assert web
    assert postgres
    assert redis

    for pid in (web, postgres, redis, worker):
        os.kill(pid, signal.SIGKILL)

    until(lambda: answers(place) not in (0, web))
    until(lambda: place.postgres.pid not in (None, postgres))
    until(lambda: place.redis.pid not in (None, redis))
    until(lambda: place.pid("worker-helper") not in (0, helper))
    assert "web | ended with signal SIGKILL; starts again now" in run.output
    # What the killed worker had started did not outlive it.
    until(lambda: not is_sleeping(helper))
    assert run.end(signal.SIGTERM) == 0
    assert place.processes() == []


def test_a_killed_supervisor_leaves_nothing_behind(place: Platform) -> None:
    run = place.start()
    run.ready()

    helpers = [place.pid("worker-helper"), place.pid("beat-helper")]

    run.end(signal.SIGKILL)

    for helper in helpers:  # these are their parents' to end, not the supervisor's
        os.kill(helper, signal.SIGKILL)
    until(lambda: not place.processes())
    assert not place.postgres.is_running()

    again = place.start()
    again.ready()
    assert again.end(signal.SIGTERM) == 0


def test_a_second_run_on_the_same_data_is_refused(place: Platform) -> None:
    first = place.start()
    first.ready()
    web, postgres = answers(place), place.postgres.pid

    second = place.start(PORT="1")

    assert second.end() == 1
    assert second.output == (
        "TokenHub is already running on this data "
        f"(pid {first.process.pid}, http://127.0.0.1:{place.port}).\n"
    )
    assert (answers(place), place.postgres.pid) == (web, postgres)
    assert (place.data_dir / "ready.json").exists()
    assert first.end(signal.SIGTERM) == 0


def test_a_port_in_use_is_said_before_anything_slow(place: Platform) -> None:
    with socket.create_server(("127.0.0.1", place.port)):
        run = place.start()

        assert run.end() == 1

    assert f"Port {place.port} on 127.0.0.1 cannot be used" in run.output
    assert f"PORT={place.port + 1}" in run.output
    assert run.output.count("\n") == 1
    assert not (place.data_dir / "postgres").exists()


def test_configured_services_are_not_embedded(place: Platform) -> None:
    run = place.start(DATABASE_URL="postgres://db.example/x", REDIS_URL="redis://cache.example")
    run.ready()

    assert not place.postgres.is_running()
    assert not place.redis.is_running()
    assert run.end(signal.SIGTERM) == 0


def test_the_environment_file_is_read(place: Platform) -> None:
    (place.base_dir / ".env").write_text("DATABASE_URL=postgres://db.example/x\nREDIS_URL=\n")

    run = place.start()
    run.ready()

    assert not place.postgres.is_running()
    assert place.redis.is_running()
    assert run.end(signal.SIGTERM) == 0


def test_a_child_that_cannot_start_is_explained(place: Platform) -> None:
    run = place.start(BREAK_WEB="1")

    assert run.end() == 1

    assert "web did not become ready" in run.output
    assert "broken on purpose" in run.output
    assert place.processes() == []


def test_can_be_stopped_while_it_starts(place: Platform) -> None:
    run = place.start(MIGRATE_S="1")
    until(lambda: (place.data_dir / "pids" / "migrate").exists())

    assert run.end(signal.SIGINT) == 0

    assert place.processes() == []
    assert not place.postgres.is_running()
