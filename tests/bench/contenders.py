"""Who is measured, and how each is installed and started: this gateway, its peers, and nginx as the limit.

Peers are installed for the bench alone, into ``var/bench``. What cannot be installed is skipped with
a message.
"""

import atexit
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.processes import Server, free_port

BASE_DIR = Path(__file__).resolve().parents[2]
FOLDER = BASE_DIR / "var" / "bench"
MODEL = "deepseek-v3.2"
UPSTREAM_MODEL = "deepseek-chat"
CREDENTIAL = "sim-deepseek"
CHAT = "/v1/chat/completions"
# Nothing of this project's environment reaches a peer.
NONE = {"DATABASE_URL": None, "REDIS_URL": None, "DEBUG": None}


@dataclass
class Contender:
    """One gateway that is running."""

    name: str
    version: str
    server: Server
    headers: dict[str, str]
    model: str = UPSTREAM_MODEL
    path: str = CHAT
    is_gateway: bool = True
    secrets: list[str] = field(default_factory=list)


class NotInstalled(Exception):
    """Why a peer is left out."""


def until_the_end(server: Server) -> Server:
    """Started, and stopped with this process."""
    atexit.register(server.stop)
    return server.start()


def tokenhub(secret: str) -> Contender:
    """This gateway: keys, limits, holds, metering, and every answer durable before it leaves."""
    server = Server(["manage.py", "serve", "--role", "gateway", "--port", "{port}"], {}, "/readyz")
    headers = {"authorization": f"Bearer {secret}"}
    version = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=BASE_DIR, capture_output=True, text=True, check=False,
    ).stdout.strip()  # fmt: skip
    return Contender("TokenHub", version, until_the_end(server), headers, MODEL)


def direct(providers: Server) -> Contender:
    """No gateway at all: what the load and the simulated provider take by themselves."""
    headers = {"authorization": f"Bearer {CREDENTIAL}"}
    path = "/deepseek/cn" + CHAT
    return Contender("no gateway", "", providers, headers, path=path, is_gateway=False)


def litellm(providers_url: str) -> Contender:
    """LiteLLM's proxy as its documentation starts it, without a database."""
    python = _venv("litellm", "litellm[proxy]")
    config = {
        "model_list": [
            {
                "model_name": MODEL,
                "litellm_params": {
                    "model": f"openai/{UPSTREAM_MODEL}",
                    "api_base": f"{providers_url}/deepseek/cn/v1",
                    "api_key": CREDENTIAL,
                },
            }
        ],
        "general_settings": {"master_key": "sk-bench"},
    }
    (FOLDER / "litellm.json").write_text(json.dumps(config))
    command = [
        str(python.parent / "litellm"), "--config", str(FOLDER / "litellm.json"),
        "--host", "127.0.0.1", "--port", "{port}", "--num_workers", "1",
    ]  # fmt: skip
    environ = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", **NONE}
    server = Server(command, environ, "/health/liveliness", python=python, ready_within_s=120)
    headers = {"authorization": "Bearer sk-bench"}
    return Contender("LiteLLM", _version(python, "litellm"), until_the_end(server), headers, MODEL)


def sglang_router(providers_url: str) -> Contender:
    """A compiled router: it forwards, and accounts for nothing."""
    python = _venv("sglang-router", "sglang-router")
    command = [
        "-m", "sglang_router.launch_router", "--host", "127.0.0.1", "--port", "{port}",
        "--worker-urls", f"{providers_url}/deepseek/cn", "--policy", "round_robin",
        "--log-level", "error", "--prometheus-port", str(free_port()),
    ]  # fmt: skip
    server = Server(command, NONE, "/health", python=python, ready_within_s=120)
    headers = {"authorization": f"Bearer {CREDENTIAL}"}
    version = _version(python, "sglang-router")
    return Contender("sglang-router", version, until_the_end(server), headers)


def portkey(providers_url: str) -> Contender:
    """Portkey's open-source gateway: no key store, no accounting."""
    folder = FOLDER / "portkey"
    package = folder / "node_modules" / "@portkey-ai" / "gateway"
    if not package.exists():
        npm = shutil.which("npm")
        if npm is None:
            raise NotInstalled("npm is not installed")
        folder.mkdir(parents=True, exist_ok=True)
        _run([npm, "install", "--silent", "--no-audit", "--no-fund", "@portkey-ai/gateway"], folder)
    host = f"{providers_url}/deepseek/cn/v1"
    environ = {**NONE, "TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"}
    command = [str(package / "build" / "start-server.js"), "--port={port}", "--headless"]
    node = shutil.which("node")
    if node is None:
        raise NotInstalled("node is not installed")
    server = Server(command, environ, "/", python=node, ready_within_s=60)
    version = json.loads((package / "package.json").read_text())["version"]
    headers = {
        "authorization": f"Bearer {CREDENTIAL}",
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": host,
    }
    return Contender("Portkey", version, until_the_end(server), headers)


def nginx(providers_url: str) -> Contender:
    """A reverse proxy that does nothing else: what the machine allows."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        raise NotInstalled("nginx is not on the PATH")
    folder = FOLDER / "nginx"
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    upstream = providers_url.removeprefix("http://")
    (folder / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log stderr error;\n"
        "events { worker_connections 4096; }\n"
        f"http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n"
        f"fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
        f"upstream provider {{ server {upstream}; keepalive 512; }}\n"
        f"server {{ listen 127.0.0.1:{port} backlog=4096; keepalive_requests 100000000;\n"
        "location = / { return 200; }\n"
        "location /v1/ { proxy_pass http://provider/deepseek/cn/v1/; proxy_http_version 1.1;\n"
        'proxy_set_header Connection ""; proxy_buffering off; } } }\n'
    )
    server = Server(["-c", str(folder / "nginx.conf")], NONE, "/", python=program)
    server.port, server.url = port, f"http://127.0.0.1:{port}"
    said = subprocess.run([program, "-v"], capture_output=True, text=True, check=False).stderr
    headers = {"authorization": f"Bearer {CREDENTIAL}"}
    return Contender("nginx", said.strip().split("/")[-1], until_the_end(server), headers)


PEERS: dict[str, Callable[[str], Contender]] = {
    "litellm": litellm,
    "portkey": portkey,
    "sglang-router": sglang_router,
    "nginx": nginx,
}


def _venv(name: str, requirement: str) -> Path:
    python = FOLDER / name / "bin" / "python"
    if not python.exists():
        print(f"Installing {name} for the bench …", flush=True)
        FOLDER.mkdir(parents=True, exist_ok=True)
        _run([sys.executable, "-m", "venv", str(FOLDER / name)], BASE_DIR)
        try:
            _run([str(python), "-m", "pip", "install", "--quiet", requirement], BASE_DIR)
        except NotInstalled:
            shutil.rmtree(FOLDER / name)
            raise
    return python


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotInstalled((done.stderr or done.stdout).strip().splitlines()[-1][:200])


def _version(python: Path, package: str) -> str:
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()  # fmt: skip
