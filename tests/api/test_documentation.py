"""Every sample of the REST API's documentation, run as it stands against a live server."""

import shutil
import subprocess
from collections.abc import Iterator

import pytest
from django.conf import settings

from tests import factories
from tests.api.program import Program
from tests.gateway.test_documentation import COMMANDS
from tests.processes import Server
from tokenhub.web import docs

SAMPLES = [
    pytest.param(sample, id=f"{page.slug}-{number}-{sample.language}")
    for page in docs.pages()
    for number, sample in enumerate(page.samples)
    if sample.runs and "/api/v1/" in sample.code
]


@pytest.fixture(scope="module")
def web(gateway_environ: dict[str, str]) -> Iterator[Server]:
    command = ["manage.py", "serve", "--role", "web", "--port", "{port}"]
    server = Server(command, gateway_environ, "/readyz").start()
    yield server
    server.stop()


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_runs_as_it_is(committed: None, web: Server, sample: docs.Sample) -> None:
    command = COMMANDS[sample.language]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    program = Program.of(factories.organization(credit_nano=10**9))
    factories.charge(program.tenant)  # with its ledger: these rows stay, and are audited
    code = sample.code.replace(settings.PUBLIC_URL, web.url)
    assert web.url in code

    done = subprocess.run(
        [*command, code],
        env={"TOKENHUB_MANAGEMENT_KEY": program.secret, "PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert '"code"' not in done.stdout
