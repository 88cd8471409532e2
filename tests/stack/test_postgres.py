"""The embedded PostgreSQL: real servers, real kills."""

import os
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.stack.clients import client, is_gone, leave, ordinary_user, until
from tokenhub.stack.errors import ForeignDataError, IncompatibleDataError, ServiceFailedError
from tokenhub.stack.postgres import SOCKET_PATH_LIMIT_BYTES, EmbeddedPostgres, url_host


@pytest.fixture
def data_dir() -> Iterator[Path]:
    # Not pytest's own directory, whose ancestors are private: root's server runs as nobody.
    path = Path(tempfile.mkdtemp(prefix="th"))
    path.chmod(0o711)
    yield path / "data"
    until(lambda: is_gone(EmbeddedPostgres(path / "data")))
    shutil.rmtree(path)


@pytest.fixture
def postgres(data_dir: Path) -> Iterator[EmbeddedPostgres]:
    service = EmbeddedPostgres(data_dir, fast=True)
    yield service
    service.stop()


def ask(service: EmbeddedPostgres, query: str) -> object:
    with psycopg.connect(service.url) as connection:
        row = connection.execute(query).fetchone()  # type: ignore[call-overload]
        return row[0]


def test_starts_once_and_stops(postgres: EmbeddedPostgres) -> None:
    assert not postgres.is_running()

    postgres.start()
    pid = postgres.pid
    postgres.start()

    assert postgres.pid == pid
    assert ask(postgres, "select current_database()") == "tokenhub"
    postgres.stop()
    assert not postgres.is_running()
    postgres.stop()


def test_keeps_its_promises_about_settings(postgres: EmbeddedPostgres) -> None:
    postgres.start()

    for setting, value in {
        "server_version_num": "18",
        "data_checksums": "on",
        "server_encoding": "UTF8",
        "TimeZone": "UTC",
        "max_connections": "200",
        "listen_addresses": "",
        "synchronous_commit": "on",
    }.items():
        assert str(ask(postgres, f"select current_setting('{setting}')")).startswith(value)
    assert (
        ask(postgres, "select datlocale from pg_database where datname = 'tokenhub'") == "C.UTF-8"
    )
    assert ask(postgres, "select upper('é')") == "É"


def test_is_durable_unless_told_otherwise(data_dir: Path) -> None:
    durable = EmbeddedPostgres(data_dir)

    durable.start()

    try:
        assert ask(durable, "select current_setting('fsync')") == "on"
        assert ask(durable, "select current_setting('full_page_writes')") == "on"
    finally:
        durable.stop()


def test_keeps_the_data_from_run_to_run(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    with psycopg.connect(postgres.url) as connection:
        connection.execute("create table kept as select 42 as answer")
    postgres.stop()

    postgres.start()

    assert ask(postgres, "select answer from kept") == 42


def test_the_last_user_to_leave_stops_it(data_dir: Path, postgres: EmbeddedPostgres) -> None:
    with client("postgres", data_dir) as first, client("postgres", data_dir) as second:
        leave(first)
        assert ask(postgres, "select 1") == 1

        leave(second)
        assert not postgres.is_running()


def test_two_uses_in_one_process_count_as_two(data_dir: Path, postgres: EmbeddedPostgres) -> None:
    other = EmbeddedPostgres(data_dir, fast=True)
    postgres.start()
    other.start()

    postgres.stop()
    assert other.is_running()

    other.stop()
    assert not other.is_running()


def test_a_killed_user_takes_nobody_along(data_dir: Path, postgres: EmbeddedPostgres) -> None:
    with client("postgres", data_dir) as starter, client("postgres", data_dir) as other:
        starter.kill()
        starter.wait()
        assert ask(postgres, "select 1") == 1

        leave(other)
        assert not postgres.is_running()


def test_stops_also_when_its_last_user_is_killed(
    data_dir: Path, postgres: EmbeddedPostgres
) -> None:
    with client("postgres", data_dir) as only:
        only.kill()
        only.wait()

    until(lambda: not postgres.is_running())


def test_a_child_that_was_given_the_locks_keeps_it_alive(
    data_dir: Path, postgres: EmbeddedPostgres
) -> None:
    postgres.start()
    child = subprocess.Popen(["sleep", "60"], pass_fds=postgres.held_descriptors())
    with child:
        postgres._users.close()  # as the kernel does when this process is killed
        postgres._alive.close()
        with client("postgres", data_dir) as other:
            leave(other)
        assert postgres.is_running()

        child.kill()
    until(lambda: not postgres.is_running())
    postgres._user_pid = None


def test_a_ctrl_c_in_the_terminal_does_not_reach_it(
    data_dir: Path, postgres: EmbeddedPostgres
) -> None:
    with client("postgres", data_dir, start_new_session=True) as user:
        pid = postgres.pid
        assert pid is not None

        assert os.getsid(pid) == pid
        assert os.getsid(pid) != os.getsid(user.pid)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGQUIT, signal.SIGTERM])
def test_recovers_when_the_server_is_killed(
    postgres: EmbeddedPostgres, number: signal.Signals
) -> None:
    postgres.start()
    with psycopg.connect(postgres.url) as connection:
        connection.execute("create table kept as select 42 as answer")
    pid = postgres.pid
    assert pid is not None
    os.kill(pid, number)
    until(lambda: not postgres.is_running())

    postgres.start()

    assert postgres.pid != pid
    assert ask(postgres, "select answer from kept") == 42


def test_a_stale_pid_file_of_a_living_process_is_no_obstacle(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    postgres.stop()
    owner = os.stat(postgres.cluster)
    # Of the server's own account: PostgreSQL itself sees through a process of somebody else.
    stranger = subprocess.Popen(["sleep", "60"], cwd="/", **postgres.account.popen_options())
    with stranger:
        # After a restart of a container the old id easily belongs to somebody else.
        record = f'{{"pid": {stranger.pid}, "began": "another-boot:1"}}'
        (postgres.directory / "process.json").write_text(record)
        stale = postgres.cluster / "postmaster.pid"
        stale.write_text(f"{stranger.pid}\n{postgres.cluster}\n1\n5432\n\n\n0 0\nready\n")
        os.chown(stale, owner.st_uid, owner.st_gid)

        assert not postgres.is_running()
        postgres.start()

        assert ask(postgres, "select 1") == 1
        assert stranger.poll() is None
        stranger.kill()


def test_a_start_whose_record_was_lost_is_found_again(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    pid = postgres.pid
    (postgres.directory / "process.json").unlink()

    assert postgres.pid == pid
    postgres.start()
    assert postgres.pid == pid


def test_an_interrupted_initdb_is_made_anew(data_dir: Path, postgres: EmbeddedPostgres) -> None:
    half = data_dir / "postgres" / "cluster.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")

    postgres.start()

    assert ask(postgres, "select 1") == 1


@pytest.mark.parametrize(
    "name",
    ["with a space", 'it\'s "quoted", too', "Ünïcode", "CamelCase", "long-" + "x" * 150, "50%25"],
)
def test_works_in_any_directory(data_dir: Path, name: str) -> None:
    postgres = EmbeddedPostgres(data_dir / name, fast=True)

    postgres.start()

    try:
        assert ask(postgres, "select 1") == 1
        assert len(os.fsencode(postgres.socket_dir / ".s.PGSQL.5432")) <= SOCKET_PATH_LIMIT_BYTES
        mode = stat.S_IMODE(postgres.socket_dir.stat().st_mode)
        assert mode == 0o700
        assert postgres.socket_dir.stat().st_uid == postgres.account.uid
    finally:
        postgres.stop()
        if not postgres.socket_dir.is_relative_to(data_dir):
            shutil.rmtree(postgres.socket_dir)


def test_refuses_a_socket_directory_prepared_by_somebody_else(data_dir: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can prepare a directory of somebody else")
    postgres = EmbeddedPostgres(data_dir / ("x" * 150), fast=True)
    postgres.socket_dir.mkdir(mode=0o777)
    os.chown(postgres.socket_dir, 12345, 12345)
    try:
        with pytest.raises(ForeignDataError, match="12345"):
            postgres.start()
    finally:
        postgres.socket_dir.rmdir()


def test_the_url_is_known_before_the_start_and_survives_lower_casing(data_dir: Path) -> None:
    # django-environ takes the host from urllib, which lower-cases it.
    assert url_host(Path("/A b/É")) == "%2f%41%20b%2f%c3%89"
    assert EmbeddedPostgres(data_dir).url == EmbeddedPostgres(data_dir).url
    assert not data_dir.exists()


def test_data_of_another_major_version_is_a_clear_error(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    postgres.stop()
    (postgres.cluster / "PG_VERSION").write_text("15\n")

    with pytest.raises(IncompatibleDataError, match=r"PostgreSQL 15.*PostgreSQL 18"):
        postgres.start()

    assert not postgres.is_running()


def test_a_failed_start_shows_the_log(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    postgres.stop()
    with (postgres.cluster / "postgresql.conf").open("a") as file:
        file.write("no_such_setting = 1\n")

    with pytest.raises(ServiceFailedError, match="no_such_setting"):
        postgres.start()


def test_runs_as_an_ordinary_user(tmp_path: Path) -> None:
    with ordinary_user() as (directory, options):
        with client("postgres", directory / "data", **options) as user:
            service = EmbeddedPostgres(directory / "data")
            assert ask(service, "select 1") == 1
            assert service.directory.stat().st_uid == options["user"]
            leave(user)
        assert not service.is_running()


def test_root_may_use_the_data_of_an_ordinary_user_and_leave_it_usable() -> None:
    with ordinary_user() as (directory, options):
        with client("postgres", directory / "data", **options) as user:
            leave(user)
        as_root = EmbeddedPostgres(directory / "data", fast=True)
        as_root.start()
        as_root.stop()

        with client("postgres", directory / "data", **options) as user:
            leave(user)


def test_data_of_root_is_refused_to_an_ordinary_user(
    data_dir: Path, postgres: EmbeddedPostgres
) -> None:
    postgres.start()
    with (
        ordinary_user() as (_directory, options),
        pytest.raises(AssertionError, match="belongs to root"),
        client("postgres", data_dir, **options),
    ):
        pass

    assert ask(postgres, "select 1") == 1


def test_other_users_cannot_reach_the_socket(data_dir: Path, postgres: EmbeddedPostgres) -> None:
    postgres.start()

    assert stat.S_IMODE(postgres.socket_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE(postgres.cluster.stat().st_mode) == 0o700


def test_root_opens_only_the_way_that_is_missing(
    data_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if os.geteuid() != 0:
        pytest.skip("an ordinary user's server needs no way opened")
    closed = data_dir / "closed"
    closed.mkdir(parents=True, mode=0o700)
    before = data_dir.stat().st_mode
    postgres = EmbeddedPostgres(closed, fast=True)

    postgres.start()

    postgres.stop()
    assert stat.S_IMODE(closed.stat().st_mode) == 0o701
    assert data_dir.stat().st_mode == before
    assert str(closed) in capfd.readouterr().err
