"""What the image is made of, and that it starts in production as an ordinary user, each role by itself, and drains."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from django.db import connection

from billing.models import Lease
from tests import factories
from tests.conftest import database_url
from tests.deploy import image
from tests.live import Gateway, Providers, marker
from tests.processes import BASE_DIR, Server, eventually
from tokenhub.stack.privileges import account_for


def test_the_image_has_two_stages_and_the_last_one_runs_as_nobody() -> None:
    build, final = image.stages()

    assert build.name == "build"
    assert final.all("USER") == ["10001:10001"]
    assert not final.all("RUN")[0].startswith("apt")
    assert "pip uninstall" in final.all("RUN")[0]
    assert all("--chown" not in line for line in final.all("COPY")), "the app would be writable"
    assert final.all("COPY") == ["--from=build /opt/venv /opt/venv", "--from=build /app /app"]
    [health] = final.all("HEALTHCHECK")
    assert "/healthz" in health
    assert final.all("STOPSIGNAL") == ["SIGTERM"]


def test_every_package_is_pinned_by_its_hash() -> None:
    [install] = [line for line in image.stages()[0].all("RUN") if "pip install" in line]
    lock = (BASE_DIR / "requirements.lock").read_text(encoding="utf-8")
    pinned = [line for line in lock.splitlines() if line and not line.startswith((" ", "#"))]

    assert "--require-hashes" in install
    assert "--only-binary :all:" in install
    assert all("==" in line for line in pinned)
    assert lock.count("--hash=sha256:") >= len(pinned)


def test_nothing_private_and_no_test_is_in_the_image(tmp_path: Path) -> None:
    files = image.files()

    assert {"manage.py", "requirements.lock", "tokenhub/settings.py", "templates/base.html"} <= set(files)  # fmt: skip
    assert [path for path in files if path.startswith(("tests/", "docs/", "deploy/", ".env", ".git", "var/"))] == []  # fmt: skip
    assert any(path.startswith("tokenhub/web/docs/content/") for path in files)


@dataclass
class Rehearsal:
    """The built image, and how its processes are run."""

    app: Path
    python: list[str]
    user: int | None
    environ: dict[str, str]

    def run(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """One role."""
        return subprocess.Popen(
            [*self.python, "manage.py", *arguments], cwd=self.app, env=self.environ, user=self.user
        )

    def serve(self, role: str) -> Server:
        """One that answers HTTP."""
        first, *rest = self.python
        return Server(
            [*rest, "manage.py", "serve", "--role", role, "--host", "127.0.0.1", "--port", "{port}"],
            dict.fromkeys(os.environ) | self.environ, "/readyz", python=first, cwd=self.app, user=self.user,
        )  # fmt: skip


@pytest.fixture
def rehearsal(
    committed: None, catalogue: None, gateway_environ: dict[str, str]
) -> Iterator[Rehearsal]:
    root = Path(tempfile.mkdtemp(prefix="th-image-"))
    root.chmod(0o755)
    host = Path(str(connection.settings_dict["HOST"]))
    # Where root runs the tests, the account that may enter the database's directory.
    user = account_for(host).uid if os.geteuid() == 0 else None
    python = image.interpreter(user, root)
    if python is None:
        pytest.skip("no interpreter that an ordinary user may run")
    data = root / "data"
    data.mkdir()
    if user is not None:
        os.chown(data, user, -1)
    built = image.build(root, python, {"PATH": os.defpath})
    environ = {
        # Nothing else than a deployment has.
        "PATH": os.defpath, "DEBUG": "0", "DATA_DIR": str(data), "DATABASE_URL": database_url(),
        "REDIS_URL": urlsplit(os.environ["REDIS_URL"])._replace(path="/7").geturl(), "SECRET_KEY": "a-Secret0key_of-many+characters!" * 2,
        "FIELD_ENCRYPTION_KEYS": os.environ["FIELD_ENCRYPTION_KEYS"], "ALLOWED_HOSTS": "tokenhub.example,127.0.0.1",
        "PUBLIC_URL": "https://tokenhub.example", "EMAIL_URL": "smtp://127.0.0.1:9", "PYTHONDONTWRITEBYTECODE": "1",
        "DEFAULT_FROM_EMAIL": "no-reply@hub.example", "CONTACT_EMAIL": "help@hub.example",
        "METRICS_TOKEN": "m" * 32, "STRIPE_SECRET_KEY": "sk_live_x", "STRIPE_WEBHOOK_SECRET": "whsec_x",
        "SENTRY_DSN": "", "SILENCED_SYSTEM_CHECKS": "tokenhub.W003", "LOG_LEVEL": "WARNING",
    }  # fmt: skip
    yield Rehearsal(built, python, user, environ)
    shutil.rmtree(root)


def test_it_starts_in_production_role_by_role_works_and_drains(
    rehearsal: Rehearsal, providers: Providers
) -> None:
    checked = rehearsal.run("check", "--deploy", "--fail-level", "WARNING")
    assert checked.wait(60) == 0
    # The simulated providers are on this machine.
    rehearsal.environ["TOKENHUB_EGRESS_LOOPBACK"] = "1"
    web, gateway = rehearsal.serve("web"), rehearsal.serve("gateway")
    worker, beat = rehearsal.run("worker", "--concurrency", "1"), rehearsal.run("beat")
    started = [worker, beat]
    try:
        web.start()
        gateway.start()
        _pages_are_served(web, rehearsal.app)
        tenant = factories.organization(credit_nano=1_000_000_000)
        secret = factories.key(tenant).secret
        calls = Gateway(gateway.url, providers)
        assert calls.chat(secret).status_code == 200
        assert httpx2.get(f"{gateway.url}/").status_code == 404, "the gateway serves /v1 only"
        assert httpx2.get(f"{web.url}/v1/models").status_code in (301, 404), "the console does not"
        _jobs_are_done(tenant)
        _it_drains(gateway, calls, secret)
        for process in (worker, beat):
            process.send_signal(signal.SIGTERM)
        assert (worker.wait(30), beat.wait(30)) == (0, 0)
        web.stop()
        assert web.process is not None
        assert web.process.returncode in (0, -signal.SIGTERM)
    finally:
        for process in started:
            if process.poll() is None:
                process.kill()
        web.stop()
        gateway.stop()


def _pages_are_served(web: Server, app: Path) -> None:
    plain = httpx2.get(f"{web.url}/", follow_redirects=False)
    assert (plain.status_code, plain.headers["location"][:8]) == (301, "https://")
    page = httpx2.get(f"{web.url}/", headers={"x-forwarded-proto": "https"})
    assert page.status_code == 200
    assert "max-age=31536000" in page.headers["strict-transport-security"]
    styles = next(word for word in page.text.split('"') if word.startswith("/static/css/app."))
    assert styles != "/static/css/app.css", "not named by its content"
    style = httpx2.get(web.url + styles, headers={"x-forwarded-proto": "https"})
    assert style.status_code == 200
    assert "immutable" in style.headers["cache-control"]
    assert not (app / "var").exists()
    foreign = httpx2.get(f"{web.url}/", headers={"host": "evil.example", "x-forwarded-proto": "https"})  # fmt: skip
    assert foreign.status_code == 400


def _jobs_are_done(tenant: Any) -> None:
    """Beat orders, the worker does: a lease that nobody holds comes back."""
    lease = uuid.uuid4()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT granted FROM billing_draw_lease(%s, %s, 'gone', 1000, 1000, 0.001)",
            [lease, tenant.id[4:]],
        )
    eventually(
        lambda: Lease.objects.filter(id=lease).exclude(closed_at=None).exists(),
        within_s=60, what="the reaping",
    )  # fmt: skip


def _it_drains(gateway: Server, calls: Gateway, secret: str) -> None:
    """Told to stop, it takes nothing new and finishes what is under way."""
    name = marker()
    calls.providers.fault("*", "slow", delay_ms=400, contains=name)
    answers: list[Any] = []
    caller = threading.Thread(
        target=lambda: answers.append(calls.stream(secret, text=f"[[id={name}]] [[tokens=4]]"))
    )
    caller.start()
    eventually(lambda: calls.providers.calls(marker=name), what="the call's arrival")
    assert gateway.process is not None
    gateway.process.send_signal(signal.SIGTERM)
    eventually(lambda: not _listens(gateway.port), what="the end of listening")
    caller.join(30)
    calls.providers.lift_faults()
    assert answers[0].done
    assert gateway.process.wait(30) in (0, -signal.SIGTERM)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
