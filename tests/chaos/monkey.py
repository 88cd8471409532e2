"""Kill, wait until calls are served again, and kill the next one; the order is a seed's."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx2

from tests.chaos.away import Outage, away
from tests.chaos.deployment import EVERYTHING, WITHIN_S, Deployment
from tests.chaos.load import KINDS, Clients
from tests.chaos.verdict import Verdict, read
from tests.processes import eventually

SERVED = 15
"""Calls answered whole between two kills."""


@dataclass
class Run:
    """One run on one deployment; ``tell`` is told what happens."""

    deployment: Deployment
    seed: int
    tell: Callable[[str], None] = print
    kills: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._returning: dict[str, Future[None]] = {}
        self._helpers = ThreadPoolExecutor(len(EVERYTHING))

    def rounds(
        self, *, count: int = 0, until_s: float = 0.0, outages: Sequence[Outage] = ()
    ) -> Verdict:
        """``count`` rounds, or rounds until a time of the monotonic clock, each killing everything once.

        Then the ``outages``, one after the other.
        """
        faults: list[str] = []
        caller = self.deployment.start()
        clients = Clients(self.deployment.gateways, caller["secret"], self.seed).start()
        pages = _Visitor(self.deployment.servers["web"].url)
        self.tell(f"chaos: seed {self.seed}")
        try:
            self._served_on(clients)
            number = 0
            while number < count or time.monotonic() < until_s:
                number += 1
                for name in self._chance.sample(EVERYTHING, len(EVERYTHING)):
                    self._kill(name, clients)
            self._all_back()
            for outage in outages:
                faults += away(self.deployment, clients, outage, self.tell)
            pages.served_on()
            self._everything_works(clients)
        finally:
            pages.stop()
            seen = clients.stop()
        verdict = read(self.deployment, caller["organization"], seen, self.kills)
        verdict.faults[:0] = faults
        return verdict

    def _kill(self, name: str, clients: Clients) -> None:
        """The next one is killed once calls are served again, whether or not this one is back yet."""
        began_s = time.monotonic()
        if name in self._returning:
            self._returning.pop(name).result(WITHIN_S)
        self.deployment.kill(name)
        self.kills[name] += 1
        # Some stay away for a moment, others are back before anybody can have looked.
        time.sleep(self._chance.choice((0.0, 0.0, 0.3)))
        self._returning[name] = self._helpers.submit(self.deployment.restart, name)
        self._served_on(clients)
        self.tell(f"chaos: {name} killed, calls served after {time.monotonic() - began_s:.1f} s")

    def _all_back(self) -> None:
        for name in list(self._returning):
            self._returning.pop(name).result(WITHIN_S)

    def _everything_works(self, clients: Clients) -> None:
        """Until a call of every kind, begun from here on, was answered whole."""
        since = time.time()
        kinds = {*KINDS, "video"}
        eventually(
            lambda: {one.kind for one in clients.seen if one.complete and one.at > since} >= kinds,
            within_s=WITHIN_S, what="a call of every kind",
        )  # fmt: skip

    def _served_on(self, clients: Clients) -> None:
        before = clients.served
        eventually(lambda: clients.served >= before + SERVED, within_s=WITHIN_S, what="serving")


class _Visitor:
    """Somebody who reads a page again and again; what is answered is a page or an honest 503."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/pricing/"
        self._stop = threading.Event()
        self._served = 0
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def served_on(self) -> None:
        """Until another page was read."""
        before = self._served
        eventually(lambda: self._served > before, within_s=WITHIN_S, what="a page")

    def stop(self) -> None:
        """Read no more."""
        self._stop.set()
        self._thread.join(30)

    def _read(self) -> None:
        with httpx2.Client(timeout=20, verify=False) as http:
            while not self._stop.wait(0.3):
                try:
                    self._served += http.get(self._url).status_code == 200
                except httpx2.HTTPError:
                    continue
