"""``make bench``: this gateway and its peers, side by side on this machine, billing on.

One core for what is measured, the other for everything else: load, simulated provider, PostgreSQL.
All call the same simulated provider with the same body. TokenHub authenticates, limits, holds,
meters and commits every answer to PostgreSQL before it leaves; the peers run as their documentation
starts them, without a database. Nothing is asserted: the tables are the result.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import psutil

from tests import environment  # noqa: F401  (starts PostgreSQL and Redis, before Django's settings)
from tests.bench import report, settling
from tests.bench.contenders import (
    PEERS,
    Contender,
    NotInstalled,
    direct,
    tokenhub,
    until_the_end,
)
from tests.bench.loadgen import Load
from tests.processes import Server

BASE_DIR = Path(__file__).resolve().parents[2]
PAGE = BASE_DIR / "docs" / "performance.md"
PROXY_CORE, OTHER_CORE = 0, 1
EVENT_MS = 100
"""Between the events of a stream: as slow as a model speaks, so that many streams are open at once."""


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, nargs="*", default=[1, 32, 128])
    parser.add_argument("--streams", type=int, nargs="*", default=[100, 500])
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), default=list(PEERS))
    parser.add_argument(
        "--scale", action="store_true", help="few and many keys, … instead of peers"
    )
    parser.add_argument("--write", action="store_true", help=f"the tables into {PAGE.name}")
    arguments = parser.parse_args()

    pinned = (psutil.cpu_count() or 1) > 1
    if pinned:
        psutil.Process().cpu_affinity([OTHER_CORE])
        _pin_services()
    providers = _providers()
    if arguments.scale:
        _scale(arguments, pinned)
        return
    contenders = _start(providers, arguments.peers)
    if pinned:
        _pin(contenders)
    contenders.append(direct(providers))
    plain: report.Rows = {}
    streamed: report.Rows = {}
    durable_ms = []
    for _ in range(arguments.rounds):
        durable_ms.append(settling.durable_ms())
        for one in contenders:
            for connections in arguments.connections:
                row = _measure(one, connections, arguments.seconds)
                plain.setdefault((one.name, connections), []).append(row)
            for streams in arguments.streams:
                row = _measure(one, streams, arguments.seconds, stream=True)
                streamed.setdefault((one.name, streams), []).append(row)
    parts = [report.heading(contenders, arguments.rounds, arguments.seconds, pinned)]
    if plain:
        report.beside(plain, contenders[-1].name)
        parts.append(report.table(plain, "connections", report.PLAIN, "cpu_us"))
        if ("TokenHub", 1) in plain:
            parts.append(report.commit(durable_ms, plain))
    if streamed:
        parts.append(
            f"Streams of 50 events, {EVENT_MS} ms apart:\n\n"
            + report.table(streamed, "streams", report.STREAMS, "cpu_us_event")
        )
    print("\n" + "\n\n".join(parts))
    if arguments.write:
        report.write(PAGE, "\n\n".join(parts), "measured")


def _pin_services() -> None:
    """Our own database and broker to the other core; nobody else's are touched."""
    ours = str(os.environ["TOKENHUB_TEST_STACK"])
    for process in psutil.process_iter(["name", "cmdline", "ppid"]):
        if process.info["name"] not in ("postgres", "redis-server"):
            continue
        if ours in " ".join(process.info["cmdline"] or ()):
            for member in [process, *process.children(recursive=True)]:
                member.cpu_affinity([OTHER_CORE])


def _pin(contenders: list[Contender]) -> None:
    for one in contenders:
        for process in _tree(one):
            process.cpu_affinity([PROXY_CORE])


def _providers() -> Server:
    """The simulated providers, with the database migrated and their catalogue in it."""
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "tokenhub.settings"
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    server = until_the_end(
        Server(["-m", "tokenhub.stack.providers", "--port", "{port}"], {}, "/_control/")
    )
    from routing.seed.load import load_demo_catalogue
    from tests.live import Providers

    load_demo_catalogue(server.url)
    Providers(server.url).fault("*", "slow", contains="id=bench-stream", delay_ms=EVENT_MS)
    return server


def _start(providers: Server, peers: list[str]) -> list[Contender]:
    from tests.bench import scale

    contenders = [tokenhub(scale.keys(1, 1)[0])]
    for name in peers:
        try:
            contenders.append(PEERS[name](providers.url))
        except (NotInstalled, AssertionError) as error:
            print(f"{name} is left out: {error}", flush=True)
    return contenders


def _scale(arguments: argparse.Namespace, pinned: bool) -> None:
    """The same load among few and among many, in turn on one gateway."""
    from tests.bench import scale

    print("Making keys and organizations …", flush=True)
    few = scale.keys(1, scale.FEW_KEYS)
    among = {
        f"{scale.FEW_KEYS} keys of one organization": few,
        f"{scale.MANY_KEYS:,} keys of one organization": scale.keys(1, scale.MANY_KEYS),
        f"{scale.MANY_ORGANIZATIONS:,} organizations": scale.keys(
            scale.MANY_ORGANIZATIONS, scale.MANY_ORGANIZATIONS
        ),
    }
    gateway = tokenhub(few[0])
    if pinned:
        _pin([gateway])
    rows: dict[str, list[report.Row]] = {}

    def take(among: dict[str, list[str]]) -> None:
        for secrets in among.values():
            while secrets:  # every key is looked up once
                called = _measure(replace(gateway, secrets=secrets), 32, arguments.seconds)
                secrets = secrets[int(called["requests"]) or 1 :]
        for _ in range(arguments.rounds):
            for title, secrets in among.items():
                load = replace(gateway, secrets=secrets)
                rows.setdefault(title, []).append(_measure(load, 32, arguments.seconds))

    take(among)
    scale.offerings(scale.MANY_OFFERINGS)
    take({f"{scale.MANY_OFFERINGS:,} more offerings": few})
    text = (
        f"{report.heading([gateway], arguments.rounds, arguments.seconds, pinned)} 32 connections.\n\n"
        + report.scale(rows)
    )
    print("\n" + text)
    if arguments.write:
        report.write(PAGE, text, "scale")


def _measure(
    one: Contender, connections: int, seconds: float, *, stream: bool = False
) -> report.Row:
    load = Load(
        one.server.url, one.path, one.headers, one.model, connections, seconds, stream, one.secrets
    )
    before_s = _cpu_s(one)
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.loadgen"],
        input=json.dumps(asdict(load)), cwd=BASE_DIR, capture_output=True, text=True, check=True,
    )  # fmt: skip
    measured: report.Row = json.loads(done.stdout)
    # The load runs a little longer than it counts; its rate over both is the same.
    spent_s = _cpu_s(one) - before_s
    longer = (seconds + min(1.0, seconds / 4)) / seconds
    measured["cpu_us"] = spent_s / max(measured["requests"] * longer, 1) * 1e6
    measured["cpu_us_event"] = spent_s / max(measured["events_per_s"] * seconds * longer, 1) * 1e6
    measured["per_core"] = 1e6 / measured["cpu_us"] if measured["cpu_us"] else 0.0
    measured["memory_mb"] = sum(p.memory_info().rss for p in _tree(one)) / 2**20
    return measured


def _tree(one: Contender) -> list[psutil.Process]:
    """The processes that are measured: none where there is no gateway."""
    if not one.is_gateway:
        return []
    assert one.server.process is not None
    process = psutil.Process(one.server.process.pid)
    return [process, *process.children(recursive=True)]


def _cpu_s(one: Contender) -> float:
    times = [process.cpu_times() for process in _tree(one)]
    return sum(used.user + used.system for used in times)


if __name__ == "__main__":
    main()
