"""What must hold when everything runs again: the promises, read from the books and from both ends."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from tests.chaos.deployment import DEADLINE_S, WITHIN_S, Deployment
from tests.chaos.load import Seen
from tests.processes import eventually

# Refusals that a client may see while something is down; 0 is a connection that broke.
HONEST = frozenset({0, 200, 409, 502, 503})
CLOCKS_S = 1.0


@dataclass
class Verdict:
    """What was found; no faults where the promises were kept."""

    faults: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def hold(self, holds: bool, what: str) -> None:
        """Note what does not hold."""
        if not holds:
            self.faults.append(what)

    def __str__(self) -> str:
        told = ", ".join(f"{name} {count}" for name, count in sorted(self.counts.items()))
        return "\n".join([told, *(f"BROKEN: {fault}" for fault in self.faults)])


def read(deployment: Deployment, tenant: str, seen: list[Seen], kills: Counter[str]) -> Verdict:
    """Wait until nothing is on its way any more, then compare clients, providers and books."""
    verdict = Verdict()
    _settle(deployment, verdict, tenant)
    rows = deployment.ask(
        "SELECT id, extract(epoch FROM created_at) FROM billing_usage"
        " WHERE organization_id = %s AND billed", tenant,
    )  # fmt: skip
    billed = {f"req_{request.hex}": float(at) for request, at in rows}
    delivered = {one.request_id: one for one in seen if one.complete}
    _clients(verdict, seen, billed, delivered, kills)
    _providers(verdict, deployment, billed)
    _books(verdict, deployment, tenant)
    verdict.counts.update({"calls": len(seen), "delivered": len(delivered), "billed": len(billed)})
    verdict.counts.update(
        f"{one.kind} {'ok' if one.complete else 'not'}"
        for one in seen
        if one.complete or one.kind == "video"
    )
    return verdict


def _settle(deployment: Deployment, verdict: Verdict, tenant: str) -> None:
    # A task whose gateway was killed before a provider's name for it was on record ends after ten
    # minutes: whoever follows tasks is told that they have passed.
    open_tasks = "SELECT count(*) FROM billing_mediatask WHERE organization_id = %s AND status IN ('pending', 'running')"
    unbegun = "SELECT count(*) FROM billing_mediatask WHERE organization_id = %s AND status = 'pending' AND upstream_id = ''"
    eventually(
        lambda: deployment.ask(open_tasks, tenant) == deployment.ask(unbegun, tenant),
        within_s=WITHIN_S + DEADLINE_S, what="the videos' end",
    )  # fmt: skip
    if deployment.ask(unbegun, tenant) != [(0,)]:
        deployment.help("tests.chaos.later")
    held = (
        "SELECT (SELECT count(*) FROM billing_lease WHERE organization_id = %s AND closed_at IS NULL),"
        " (SELECT leased_nano + frozen_nano FROM billing_account WHERE organization_id = %s AND kind = 'wallet')"
    )
    try:
        eventually(
            lambda: deployment.ask(held, tenant, tenant) == [(0, 0)],
            within_s=WITHIN_S, what="the leases' return",
        )  # fmt: skip
    except AssertionError:
        verdict.hold(False, f"money is still held: {deployment.ask(held, tenant, tenant)}")


def _clients(
    verdict: Verdict, seen: list[Seen], billed: dict[str, float], delivered: dict[str, Seen],
    kills: Counter[str],
) -> None:  # fmt: skip
    for request_id, one in delivered.items():
        verdict.hold(request_id in billed, f"delivered and not billed: {one}")
    lost = set(billed) - set(delivered)
    # Of a killed gateway, the instant between the last mark and the kernel cannot be told from outside.
    most = kills["gateway-1"] + kills["gateway-2"]
    verdict.hold(len(lost) <= most, f"billed and not delivered: {sorted(lost)}")
    verdict.counts["billed, not delivered"] = len(lost)
    strange = {(one.kind, one.status, one.refusal) for one in seen if one.status not in HONEST}
    for fault in sorted(strange):
        verdict.hold(False, f"a strange refusal: {fault}")


def _providers(verdict: Verdict, deployment: Deployment, billed: dict[str, float]) -> None:
    completed: set[str] = set()
    of_mark: dict[str, set[str]] = defaultdict(set)
    for call in deployment.calls():
        if call["request_id"] and call["completed"]:
            completed.add(call["request_id"])
        if call["request_id"] and call["marker"]:
            of_mark[call["marker"]].add(call["request_id"])
    for request_id in set(billed) - completed:
        began = billed[request_id]
        hidden = any(start - 15 <= began <= end + CLOCKS_S for start, end in deployment.unseen)
        verdict.hold(hidden, f"billed, but no provider completed it: {request_id}")
    for mark, requests in of_mark.items():
        charged = requests & set(billed)
        verdict.hold(len(charged) <= 1, f"charged twice for {mark}: {charged}")


def _books(verdict: Verdict, deployment: Deployment, tenant: str) -> None:
    ((balance,),) = deployment.ask(
        "SELECT balance_nano FROM billing_account WHERE organization_id = %s AND kind = 'wallet'", tenant
    )  # fmt: skip
    verdict.hold(balance >= 0, f"the wallet has {balance}")
    verdict.hold(deployment.run("audit_ledger").wait(WITHIN_S) == 0, "audit_ledger found something")
