"""``make run``: the whole platform on real components, from nothing, with one command.

Starts PostgreSQL, Redis and the simulated providers, migrates, seeds, then keeps web, worker and
beat running until Ctrl-C.
"""

import contextlib
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from secrets import token_hex
from types import FrameType
from typing import Any

import environ as django_environ

from tokenhub.stack import SERVICES, preflight, secrets
from tokenhub.stack.children import Child, die_with_parent
from tokenhub.stack.errors import StackError
from tokenhub.stack.privileges import owned_by_parent
from tokenhub.stack.processes import write_privately
from tokenhub.stack.redis import free_port
from tokenhub.stack.service import EmbeddedService

BASE_DIR = Path(__file__).resolve().parents[2]
READY_WITHIN_S = 60.0
WATCH_S = 0.05
TRUE_WORDS = django_environ.Env.BOOLEAN_TRUE_STRINGS


class Supervisor:
    """One running platform on one data directory."""

    def __init__(self, environ: dict[str, str], base_dir: Path = BASE_DIR) -> None:
        self._base_dir = base_dir
        self._environ = environ
        data_dir = Path(environ.get("DATA_DIR") or base_dir / "var").expanduser()
        self._data_dir = data_dir if data_dir.is_absolute() else base_dir / data_dir
        self._host = environ.get("HOST") or "127.0.0.1"
        self._port = int(environ.get("PORT") or 8000)
        self._ready_path = self._data_dir / "ready.json"
        self._children: list[Child] = []
        self._services: list[EmbeddedService] = []
        self._stopping = False  # no lock: the signal's handler must not wait for whom it interrupts
        self._quiet = True
        self._held: list[str] = []

    def run(self) -> int:
        """Start, keep running until told to stop, stop. The exit code."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._told_to_stop)
        try:
            with ExitStack() as stack:
                stack.enter_context(self._only_one())
                self._check_port()
                self._configure()
                self._start_services(stack)
                stack.callback(self._stop_children)
                ready = self._start_platform()
                stack.callback(lambda: self._ready_path.unlink(missing_ok=True))
                self._announce(ready)
                while not self._stopping:
                    self._keep()
                    time.sleep(WATCH_S)
        except StackError as error:
            print(error, file=sys.stderr)
            return 1
        except _StoppedEarlyError:
            return 0
        return 0

    def _told_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        if self._stopping:  # asked twice: do not wait for requests under way
            for child in self._children:
                child.kill()
        self._stopping = True

    def _keep(self) -> None:
        for service in self._services:
            if not service.is_running():
                self._log(service.name, "ended; starts again now")
                try:
                    service.start()
                except StackError as error:
                    self._log(service.name, str(error))
        for child in self._children:
            child.keep()

    # before anything slow

    @contextmanager
    def _only_one(self) -> Iterator[None]:
        self._data_dir.mkdir(parents=True, exist_ok=True)
        lock_path = self._data_dir / preflight.LOCK_NAME
        lock = os.open(lock_path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise StackError(preflight.already_running(self._data_dir)) from None
        try:
            owned_by_parent(lock_path)
            os.ftruncate(lock, 0)
            os.write(lock, f"pid {os.getpid()}, {self._url}".encode())
            self._ready_path.unlink(missing_ok=True)  # of a run that was killed
            yield
        finally:
            os.ftruncate(lock, 0)
            os.close(lock)

    def _check_port(self) -> None:
        if sentence := preflight.port_taken(self._host, self._port):
            raise StackError(sentence)

    def _configure(self) -> None:
        environ = self._environ
        environ["DATA_DIR"] = str(self._data_dir)
        environ["HOST"], environ["PORT"] = self._host, str(self._port)
        environ.setdefault("DEBUG", "1")
        environ.setdefault("TOKENHUB_DEMO", "1")
        environ["PYTHONUNBUFFERED"] = "1"
        if environ["DEBUG"].lower() in TRUE_WORDS:
            secrets.ensure(self._data_dir, environ)

    @property
    def _url(self) -> str:
        # Where a browser on this machine finds it, also when it listens on every address.
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)  # noqa: S104
        return f"http://[{host}]:{self._port}" if ":" in host else f"http://{host}:{self._port}"

    # the services

    def _start_services(self, stack: ExitStack) -> None:
        for variable, service_type in SERVICES.items():
            if self._environ.get(variable):
                print(f"  {service_type.title}: the one of {variable}", flush=True)
                continue
            service = service_type(self._data_dir)
            stack.callback(service.stop)
            with self._step(service.title):
                service.start()
            self._services.append(service)
            self._environ[variable] = service.url
            if self._stopping:
                raise _StoppedEarlyError

    def _start_platform(self) -> dict[str, Any]:
        python, manage = sys.executable, self._base_dir / "manage.py"
        providers_port = free_port()
        providers_url = f"http://127.0.0.1:{providers_port}"
        self._environ["TOKENHUB_SIM_URL"] = providers_url
        with self._step("Simulated providers"):
            self._spawn(
                "providers",
                [python, "-m", "tokenhub.stack.providers", "--port", str(providers_port)],
            )
            self._await(f"{providers_url}/_control/")
        self._start_stripe()
        with self._step("Database schema"):
            self._manage("migrate", "--verbosity=0")
        with self._step("Demonstration"):
            seeded = json.loads(self._manage("create_demo").splitlines()[-1])
        url = self._url
        with self._step("Console and gateway"):
            self._spawn("web", [python, manage, "serve", "--role", "all"], stop_within_s=35.0)
            self._await(f"{url}/readyz")
        with self._step("Worker and beat"):
            self._spawn("worker", [python, manage, "worker"])
            self._spawn("beat", [python, manage, "beat"])
        with urllib.request.urlopen(f"{providers_url}/_control/", timeout=5) as answer:  # noqa: S310
            providers = json.load(answer)["data"]
        return {
            "url": url,
            "admin_url": f"{url}/admin/",
            "docs_url": f"{url}/docs/",
            **seeded,
            "providers": [
                {key: provider[key] for key in ("slug", "url", "control_url")}
                for provider in providers
            ],
            "stripe_url": self._environ.get("STRIPE_API_BASE") or None,
            "mailbox_url": f"{url}/dev/mailbox/",
        }

    def _start_stripe(self) -> None:
        """The simulated Stripe, unless a real one is configured."""
        if self._environ.get("STRIPE_SECRET_KEY"):
            print("  Stripe: the one of STRIPE_SECRET_KEY", flush=True)
            return
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        self._environ |= {
            "STRIPE_SECRET_KEY": "sk_test_simulated",
            "STRIPE_WEBHOOK_SECRET": f"whsec_{token_hex(24)}",
            "STRIPE_API_BASE": url,
        }
        command: list[str | Path] = [
            sys.executable, "-m", "tokenhub.stack.stripe", "--port", str(port),
            "--state", self._data_dir / "stripe.json",
            "--webhook-url", f"{self._url}/webhooks/stripe/",
        ]  # fmt: skip
        with self._step("Simulated Stripe"):
            self._spawn("stripe", command)
            self._await(f"{url}/_control/")

    def _spawn(self, name: str, command: list[str | Path], stop_within_s: float = 10.0) -> None:
        child = Child(
            name,
            command,
            self._environ,
            self._log,
            self._base_dir,
            stop_within_s=stop_within_s,
            # Should we be killed, the database stays until the last child has finished its work.
            pass_fds=tuple(fd for service in self._services for fd in service.held_descriptors()),
        )
        self._children.append(child)
        child.start()

    def _stop_children(self) -> None:
        # Web first, so that nothing new begins; the providers last, so that what runs can finish.
        if self._children:
            self._log("stack", "stopping …")
        order = ["web", "beat", "worker", "providers", "stripe"]
        for child in sorted(self._children, key=lambda child: order.index(child.name)):
            child.stop()

    def _manage(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, self._base_dir / "manage.py", *arguments],
            env=self._environ,
            cwd=self._base_dir,
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=die_with_parent(),
        )
        if self._stopping:
            raise _StoppedEarlyError
        if done.returncode:
            raise StackError(f"manage.py {arguments[0]} failed:\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def _await(self, url: str) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        child = self._children[-1]
        while True:
            if self._stopping:
                raise _StoppedEarlyError
            try:
                with urllib.request.urlopen(url, timeout=5):  # noqa: S310
                    return
            except OSError:
                ended = child.process is not None and child.process.poll() is not None
                if ended or time.monotonic() > deadline:
                    log = "\n".join(self._held[-20:])
                    raise StackError(f"{child.name} did not become ready:\n{log}") from None
            time.sleep(0.05)

    # words

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        print(f"  {name} … ", end="", flush=True)
        began_s = time.monotonic()
        try:
            yield
        except BaseException:
            print("failed", flush=True)
            raise
        print(f"ready ({time.monotonic() - began_s:.1f} s)", flush=True)

    def _log(self, name: str, line: str) -> None:
        text = f"{name:>9} | {line}"
        if self._quiet:
            self._held.append(text)
        else:
            with contextlib.suppress(OSError):  # a closed terminal stops nobody's work
                print(text, flush=True)

    def _announce(self, ready: dict[str, Any]) -> None:
        write_privately(self._ready_path, json.dumps(ready, indent=2) + "\n")
        print(READY_BLOCK.format(**ready, key=ready["demo"]["api_key"]), flush=True)
        self._quiet = False
        for text in self._held:
            print(text, flush=True)
        self._held.clear()


class _StoppedEarlyError(Exception):
    """Told to stop before everything was up."""


READY_BLOCK = """
TokenHub is ready.

  Console      {url}/        sign in: {demo[email]} / {demo[password]}
  Admin        {admin_url}  sign in: {admin[email]} / {admin[password]}
  Docs         {docs_url}
  Mailbox      {mailbox_url}
  Stripe       {stripe_url} (simulated unless you set STRIPE_SECRET_KEY)
  API key      {demo[api_key]}
  Management   {demo[management_key]}

Try it:

  curl {url}/v1/chat/completions \\
    -H "Authorization: Bearer {key}" \\
    -H "Content-Type: application/json" \\
    -d '{{"model": "deepseek-v3.2", "messages": [{{"role": "user", "content": "Hello"}}]}}'

or, with the official client (pip install openai):

  from openai import OpenAI
  client = OpenAI(base_url="{url}/v1", api_key="{key}")
  answer = client.chat.completions.create(
      model="deepseek-v3.2", messages=[{{"role": "user", "content": "Hello"}}])
  print(answer.choices[0].message.content)

Ctrl-C stops everything; the data stays for the next run. The log follows.
"""


def environment(base_dir: Path = BASE_DIR) -> dict[str, str]:
    """The process environment, completed from ``.env``. Empty variables count as not set."""
    django_environ.Env.read_env(base_dir / ".env", overwrite=False)
    return {
        name: value
        for name, value in os.environ.items()
        if value or not re.match(r"[A-Z_]+_URL$", name)
    }
