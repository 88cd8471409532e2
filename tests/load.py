"""Many calls at once, by threads with connections of their own; what each one's client saw."""

import json
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx2


@dataclass
class Outcome:
    """What the client of one call saw."""

    status: int = 0
    complete: bool = False
    request_id: str = ""
    refusal: str = ""


@dataclass
class Load:
    """Workers that call until they are stopped; mixed plain and streamed calls."""

    url: str
    secret: str
    models: tuple[str, ...] = ("deepseek-v3.2",)
    workers: int = 16
    outcomes: list[Outcome] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> "Load":
        """Begin to call."""
        for number in range(self.workers):
            thread = threading.Thread(target=self._work, args=(number,), daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def stop(self) -> list[Outcome]:
        """Let calls under way finish; every outcome."""
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
        return self.outcomes

    def _work(self, number: int) -> None:
        chance = random.Random(number)
        # Plain HTTP: certificates would be read for each client, and starve what is being started.
        with httpx2.Client(timeout=15, verify=False) as http:
            while not self._stop.is_set():
                outcome = call(
                    http, self.url, self.secret, chance.choice(self.models), chance.random() < 0.4
                )
                self.outcomes.append(outcome)
                if outcome.status == 0:
                    self._stop.wait(0.05)  # the process is gone: again, a little later


def call(http: httpx2.Client, url: str, secret: str, model: str, streamed: bool) -> Outcome:
    """One call; whatever happens to it is an outcome."""
    outcome = Outcome()
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "Hello [[tokens=12]]"}],
        "max_tokens": 12,
        "stream": streamed,
    }
    headers = {"authorization": f"Bearer {secret}"}
    try:
        with http.stream(
            "POST", f"{url}/v1/chat/completions", json=body, headers=headers
        ) as response:
            outcome.request_id = response.headers.get("x-request-id", "")
            content = response.read()
        outcome.status = response.status_code
        if outcome.status != 200:
            outcome.refusal = content.decode(errors="replace")[:600]
        if outcome.status == 200:
            outcome.complete = (
                content.endswith(b"data: [DONE]\n\n")
                if streamed
                else "usage" in json.loads(content)
            )
    except (httpx2.HTTPError, json.JSONDecodeError):
        outcome.complete = False
    return outcome


def at_once(count: int, one: Callable[[int], Outcome]) -> list[Outcome]:
    """``count`` calls that begin together."""
    barrier = threading.Barrier(count)

    def run(number: int) -> Outcome:
        barrier.wait()
        return one(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))
