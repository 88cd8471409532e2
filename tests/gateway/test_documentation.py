"""Every sample of the documentation that is complete, run as it stands against a live gateway."""

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import connections

from tests import factories
from tests.live import Gateway
from tokenhub.gateway.media.follow import follow
from tokenhub.web import docs

COMMANDS = {
    "bash": ["sh", "-ec"],
    "python": [sys.executable, "-c"],
    "javascript": ["node", "--input-type=module", "-e"],
}
SAMPLES = [
    pytest.param(sample, id=f"{page.slug}-{number}-{sample.language}")
    for page in docs.pages()
    for number, sample in enumerate(page.samples)
    # Those of the REST API are run in tests/api.
    if sample.runs and "/api/v1/" not in sample.code
]


@pytest.fixture(autouse=True)
def worker(gateway: Gateway, settings: Any) -> Iterator[None]:
    """Somebody follows videos to their end, as the worker of an installation does."""
    settings.TASK_POLL_S = 0.2
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.2):
            follow()
        connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_runs_as_it_is(gateway: Gateway, sample: docs.Sample) -> None:
    command = COMMANDS[sample.language]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    secret = factories.key(factories.organization(credit_nano=10**9)).secret
    code = sample.code.replace(settings.PUBLIC_URL, gateway.url)
    assert gateway.url in code

    done = subprocess.run(
        [*command, code],
        env={"TOKENHUB_API_KEY": secret, "PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert '"error":{' not in done.stdout.replace(" ", "")
