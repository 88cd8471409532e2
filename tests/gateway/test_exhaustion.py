"""A gateway that is out of file descriptors: its own trouble, and no provider's."""

import json
import os
import resource
from pathlib import Path

from routing.models import OfferingHealth
from tests import factories
from tests.conftest import new_gateway
from tests.live import Gateway, Providers
from tests.load import Outcome, at_once
from tests.processes import eventually

MODEL = "alibaba/deepseek-v3.2"
AT_ONCE = 12


def test_what_a_gateway_is_out_of_is_held_against_no_provider(
    committed: None, gateway_environ: dict[str, str], providers: Providers, tmp_path: Path
) -> None:
    record = OfferingHealth.objects.filter(
        offering__endpoint__provider__slug="alibaba", offering__model__slug="deepseek-v3.2"
    )
    record.update(status="healthy", failures=0, successes=0)  # whatever other tests did to it
    server = new_gateway(gateway_environ, DATA_DIR=str(tmp_path), TOKENHUB_LEASE_TTL_S="60").start()
    secret = factories.key(factories.organization(credit_nano=1_000_000_000)).secret
    clients = [Gateway(server.url, providers) for _ in range(AT_ONCE)]

    def call(number: int) -> Outcome:
        answer = clients[number].chat(secret, MODEL)
        return Outcome(answer.status_code, refusal=answer.text if answer.status_code != 200 else "")

    try:
        eventually(lambda: clients[0].chat(secret, MODEL).status_code == 200)
        # Connected beforehand: what they then lack is the way to a provider.
        assert {client.get(secret, "models").status_code for client in clients} == {200}
        assert server.process is not None
        pid = server.process.pid
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{pid}/fd")), hard))
        providers.fault("alibaba", "slow")

        answers = at_once(AT_ONCE, call)

        refused = [answer.refusal for answer in answers if answer.refusal]
        assert len(refused) >= AT_ONCE / 2
        assert {json.loads(words)["error"]["code"] for words in refused} == {"service_unavailable"}
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        assert {answer.status for answer in at_once(AT_ONCE, call)} == {200}
        server.stop()  # what it saw of the provider is on record then
        assert set(record.values_list("status", flat=True)) <= {"healthy"}
    finally:
        providers.lift_faults()
        server.stop()
