"""What every test may ask for: a database with committed rows, the simulated providers, a live gateway."""

import os
from asyncio import events
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection, connections
from django.test.utils import setup_databases, teardown_databases

from tests import fault_tables
from tests.live import Gateway, Providers, Stripe
from tests.processes import Server


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the fault matrices that ran."""
    reports = [one for kind in ("passed", "failed") for one in terminalreporter.stats.get(kind, [])]
    if found := fault_tables.lines(reports):
        terminalreporter.section("faults")
        terminalreporter.write_line("\n".join(found))


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, django_db_blocker: Any, django_db_modify_db_settings: None
) -> Iterator[None]:
    """This worker's database. pytest-django makes one only for tests with its own marker."""
    with django_db_blocker.unblock():
        made = setup_databases(verbosity=0, interactive=False)
    yield
    with django_db_blocker.unblock():
        teardown_databases(made, verbosity=0)


@pytest.fixture
def committed(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Rows that other processes see. Nothing is rolled back: each test has its own organization."""
    with django_db_blocker.unblock():
        yield
        connections.close_all()


def database_url() -> str:
    """This worker's test database, for other processes."""
    options = connection.settings_dict
    host = quote(str(options["HOST"]), safe="")
    return f"postgres://{options['USER']}@{host}/{options['NAME']}"


@pytest.fixture(scope="session")
def providers() -> Iterator[Providers]:
    """The simulated providers, in a process of their own."""
    server = Server(
        ["-m", "tokenhub.stack.providers", "--port", "{port}"], {}, "/_control/"
    ).start()
    yield Providers(server.url)
    server.stop()


@pytest.fixture(scope="session")
def catalogue(providers: Providers, django_db_setup: None, django_db_blocker: Any) -> None:
    """The demonstration catalogue, served by this worker's providers."""
    from routing.seed.load import load_demo_catalogue

    with django_db_blocker.unblock():
        load_demo_catalogue(providers.url)
        connections.close_all()


@pytest.fixture(scope="session")
def stripe_server() -> Iterator[Server]:
    """The simulated Stripe, in a process of its own."""
    server = Server(["-m", "tokenhub.stack.stripe", "--port", "{port}"], {}, "/_control/").start()
    yield server
    server.stop()


@pytest.fixture
def stripe(stripe_server: Server, settings: Any) -> Iterator[Stripe]:
    """An empty Stripe that this process's code talks to; its webhooks pile up until they are wanted."""
    settings.STRIPE_API_BASE = stripe_server.url
    made = Stripe(stripe_server.url)
    made.reset()
    yield made
    made.reset()


@pytest.fixture(scope="session")
def gateway_environ(
    catalogue: None, django_db_setup: None, django_db_blocker: Any, tmp_path_factory: Any
) -> dict[str, str]:
    """What a gateway process of this worker is started with."""
    data_dir: Path = tmp_path_factory.mktemp("gateway")
    with django_db_blocker.unblock():
        url = database_url()
    return {
        "DATABASE_URL": url,
        "REDIS_URL": os.environ["REDIS_URL"],
        "DATA_DIR": str(data_dir),
        "PUBLIC_URL": "http://127.0.0.1:{port}",
        "TOKENHUB_LEASE_TTL_S": "3",
        "TOKENHUB_PLAIN_TIMEOUT_S": "2",
        "TOKENHUB_STREAM_TIMEOUT_S": "2",
        "TOKENHUB_TASK_POLL_S": "0.2",
    }


@pytest.fixture(autouse=True)
def no_loop_of_a_browser(request: pytest.FixtureRequest) -> Iterator[None]:
    """Playwright's loop counts as running for the rest of a worker's life; other tests have their own."""
    if "browser" in request.fixturenames:
        yield
        return
    running = events._get_running_loop()
    events._set_running_loop(None)
    yield
    events._set_running_loop(running)


@pytest.fixture(scope="session")
def shared_gateway(gateway_environ: dict[str, str]) -> Iterator[Server]:
    """One gateway process for all tests of this worker that do not harm it."""
    server = new_gateway(gateway_environ).start()
    yield server
    server.stop()


def new_gateway(environ: dict[str, str], *, log: Path | None = None, **more: str) -> Server:
    """A gateway process that is not started yet."""
    command = ["manage.py", "serve", "--role", "gateway", "--port", "{port}"]
    return Server(command, {**environ, **more}, "/readyz", log=log)


@pytest.fixture
def gateway(committed: None, shared_gateway: Server, providers: Providers) -> Iterator[Gateway]:
    """A live gateway to call, with no faults left behind."""
    yield Gateway(shared_gateway.url, providers)
    providers.lift_faults()
