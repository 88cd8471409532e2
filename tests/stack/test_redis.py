"""The embedded Redis: real servers, real kills."""

import os
import shutil
import signal
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.stack.clients import client, is_gone, leave, ordinary_user, until
from tokenhub.stack.redis import EmbeddedRedis


@pytest.fixture
def data_dir() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="th"))
    path.chmod(0o711)
    yield path / "data with space"
    until(lambda: is_gone(EmbeddedRedis(path / "data with space")))
    shutil.rmtree(path)


@pytest.fixture
def server(data_dir: Path) -> Iterator[EmbeddedRedis]:
    service = EmbeddedRedis(data_dir)
    yield service
    service.stop()


def test_starts_once_and_stops(server: EmbeddedRedis) -> None:
    server.start()
    pid = server.pid
    server.start()

    assert server.pid == pid
    assert redis.Redis.from_url(server.url).ping()
    server.stop()
    assert not server.is_running()


def test_keeps_url_and_data_from_run_to_run(data_dir: Path, server: EmbeddedRedis) -> None:
    server.start()
    redis.Redis.from_url(server.url).set("kept", "42")
    url = server.url
    server.stop()

    server.start()

    assert server.url == url == EmbeddedRedis(data_dir).url
    assert redis.Redis.from_url(url).get("kept") == b"42"


def test_needs_its_password_and_shows_it_to_nobody(server: EmbeddedRedis) -> None:
    server.start()
    port, password = server._address()

    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=port).ping()
    assert stat.S_IMODE((server.directory / "address.json").stat().st_mode) == 0o600
    assert password.encode() not in Path(f"/proc/{server.pid}/cmdline").read_bytes()


def test_takes_another_port_when_its_own_was_taken(server: EmbeddedRedis) -> None:
    port, _password = server._address()
    with socket.socket() as taker:
        taker.bind(("127.0.0.1", port))
        taker.listen()

        server.start()

        assert server._address()[0] != port
        assert redis.Redis.from_url(server.url).ping()


def test_the_last_user_to_leave_stops_it(data_dir: Path, server: EmbeddedRedis) -> None:
    with client("redis", data_dir) as first, client("redis", data_dir) as second:
        first.kill()
        first.wait()
        assert redis.Redis.from_url(server.url).ping()

        leave(second)
        assert not server.is_running()


def test_stops_also_when_its_last_user_is_killed(data_dir: Path, server: EmbeddedRedis) -> None:
    with client("redis", data_dir) as only:
        only.kill()
        only.wait()

    until(lambda: not server.is_running())


def test_recovers_when_the_server_is_killed(server: EmbeddedRedis) -> None:
    server.start()
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: not server.is_running())

    server.start()

    assert server.pid != pid
    assert redis.Redis.from_url(server.url).ping()


def test_a_start_whose_record_was_lost_is_found_again(server: EmbeddedRedis) -> None:
    server.start()
    pid = server.pid
    (server.directory / "process.json").unlink()

    server.start()

    assert server.pid == pid


def test_runs_as_an_ordinary_user() -> None:
    with ordinary_user() as (directory, options):
        with client("redis", directory / "data", **options) as user:
            service = EmbeddedRedis(directory / "data")
            assert redis.Redis.from_url(service.url).ping()
            leave(user)
        assert not service.is_running()
