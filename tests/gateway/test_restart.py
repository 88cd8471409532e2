"""A rolling restart of two gateways under load: no call fails, and money adds up."""

import os
import random
import signal
import threading
from typing import Any

import httpx2

from billing.audit import audit
from billing.models import Usage
from tests import factories
from tests.conftest import new_gateway
from tests.live import Gateway
from tests.load import Outcome, call
from tests.processes import Server, eventually

MODELS = ("deepseek-v3.2", "alibaba/deepseek-v3.2", "gpt-4o-mini")


def test_a_rolling_restart_of_two_gateways_fails_no_call(
    gateway: Gateway, gateway_environ: dict[str, str]
) -> None:
    """A client that tries the other gateway where one does not answer, as a load balancer does."""
    tenant = factories.organization(credit_nano=10_000_000_000)
    secret = factories.key(tenant).secret
    servers = [new_gateway(gateway_environ).start() for _ in range(2)]
    outcomes: list[Outcome] = []
    stop = threading.Event()

    def work(number: int) -> None:
        chance = random.Random(number)
        while not stop.is_set():
            first = chance.randrange(2)
            for turn in range(4):
                with httpx2.Client(timeout=30) as http:
                    outcome = call(http, servers[(first + turn) % 2].url, secret, chance.choice(MODELS), chance.random() < 0.4)  # fmt: skip
                if outcome.status:
                    break
            outcomes.append(outcome)

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(6)]
    for thread in threads:
        thread.start()
    try:
        for server in servers:
            seen = len(outcomes)
            eventually(lambda n=seen: len(outcomes) > n + 40, within_s=40)
            restart(server)
        seen = len(outcomes)
        eventually(lambda: len(outcomes) > seen + 40, within_s=40)
    finally:
        stop.set()
        for thread in threads:
            thread.join(40)
        for server in servers:
            server.stop()

    assert [outcome for outcome in outcomes if not outcome.complete] == []
    delivered = {outcome.request_id for outcome in outcomes}
    billed: Any = Usage.objects.filter(organization=tenant, billed=True)
    assert delivered == set(billed.values_list("id", flat=True))
    assert audit(tenant) == []


def restart(server: Server) -> None:
    """In good order: what runs is finished, nothing new is taken."""
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGTERM)
    server.process.wait(40)
    server.start()
