"""PostgreSQL or Redis gone for a while under load: what clients and providers see meanwhile, and how soon it is over."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.deployment import WITHIN_S, Deployment
from tests.chaos.load import Clients
from tests.processes import eventually

NOTICED_WITHIN_S = 3.0
"""By then every gateway knows that it cannot bill."""
SILENCE_NOTICED_WITHIN_S = 4.0
"""And of a silent one, which must be asked first."""
MOST_GROWTH_KB = 150_000


@dataclass(frozen=True)
class Outage:
    """A service that is killed, or falls silent, for some seconds."""

    name: str
    seconds: float
    silent: bool = False


def away(
    deployment: Deployment, clients: Clients, outage: Outage, tell: Callable[[str], None]
) -> list[str]:
    """Take a service away for so long; what did not hold."""
    name, faults = outage.name, list[str]()
    before_kb = {gateway: _memory_kb(deployment, gateway) for gateway in ("gateway-1", "gateway-2")}
    (deployment.pause if outage.silent else deployment.kill)(name)
    gone_s, served = time.time(), clients.served
    time.sleep(outage.seconds)
    back_s, meanwhile = time.time(), clients.served - served
    grown_kb = max(_memory_kb(deployment, gateway) - before_kb[gateway] for gateway in before_kb)
    (deployment.resume if outage.silent else deployment.restart)(name)
    began_s = time.monotonic()
    served = clients.served
    eventually(lambda: clients.served > served + 15, within_s=WITHIN_S, what="serving")
    tell(
        f"chaos: {name} {'silent' if outage.silent else 'away'} for {outage.seconds:.0f} s, {meanwhile} calls served meanwhile, memory grew by"
        f" {grown_kb // 1024} MiB, served again {time.monotonic() - began_s:.1f} s after its return"
    )
    if grown_kb > MOST_GROWTH_KB:
        faults.append(f"a gateway grew by {grown_kb} kB while {name} was away")
    if name == "postgres":
        # What can be billed by nobody is sent to nobody.
        noticed_s = gone_s + (SILENCE_NOTICED_WITHIN_S if outage.silent else NOTICED_WITHIN_S)
        sent = [
            call
            for call in deployment.calls()
            if call["request_id"] and noticed_s < call["created_at"] < back_s
        ]
        if sent:
            faults.append(f"{len(sent)} calls were sent upstream while {name} was away: {sent[:3]}")
    elif not meanwhile:
        faults.append(f"nothing was served while {name} was away")
    return faults


def _memory_kb(deployment: Deployment, name: str) -> int:
    process = deployment.servers[name].process
    assert process is not None
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])
