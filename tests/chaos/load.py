"""Clients of every kind at once: what each one asked for, and what it saw."""

import json
import random
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import httpx2

from tests.live import JSON

TEXT_MODELS = ("deepseek-v3.2", "tokenhub/auto", "gpt-4o-mini")
KINDS = (
    "chat", "chat", "chat stream", "chat stream", "messages", "messages stream", "responses",
    "responses stream", "embeddings", "image", "once",
)  # fmt: skip
RESOLVE_S = 20.0
"""How long a client with an Idempotency-Key asks again for an answer it has not got."""
WATCH_S = 60.0
"""How long a client waits for its video."""


@dataclass
class Seen:
    """What the client of one call saw, tries under one Idempotency-Key taken together."""

    kind: str
    mark: str
    status: int = 0
    complete: bool = False
    request_id: str = ""
    refusal: str = ""
    tries: int = 1
    at: float = field(default_factory=time.time)


@dataclass
class Clients:
    """Threads that call one gateway or the other until they are stopped."""

    gateways: list[str]
    secret: str
    seed: int
    workers: int = 8
    watchers: int = 2
    seen: list[Seen] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> "Clients":
        """Begin to call."""
        for number in range(self.workers + self.watchers):
            thread = threading.Thread(target=self._work, args=(number,), daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def stop(self) -> list[Seen]:
        """Let calls under way finish; everything that was seen."""
        self._stop.set()
        for thread in self._threads:
            thread.join(WATCH_S + RESOLVE_S)
        assert not any(thread.is_alive() for thread in self._threads), "a client hangs"
        return self.seen

    @property
    def served(self) -> int:
        """How many calls were answered whole."""
        return sum(seen.complete for seen in self.seen)

    def _work(self, number: int) -> None:
        chance = random.Random(self.seed * 1_000 + number)
        # Plain HTTP: certificates would be read for each client, and starve what is being started.
        with httpx2.Client(timeout=60, verify=False) as http:
            while not self._stop.is_set():
                if number < self.workers:
                    seen = self._call(http, chance, chance.choice(KINDS))
                else:
                    seen = self._video(http, chance)
                self.seen.append(seen)
                if seen.status == 0:
                    self._stop.wait(0.05)  # the process is gone: again, a little later

    def _call(self, http: httpx2.Client, chance: random.Random, kind: str) -> Seen:
        seen = Seen(kind, _mark())
        path, body = _request(kind, seen.mark, chance.choice(TEXT_MODELS))
        if kind == "once":
            self._insist(http, chance, seen, path, body)
        else:
            self._try(http, chance.choice(self.gateways), seen, path, body, {})
        return seen

    def _insist(
        self, http: httpx2.Client, chance: random.Random, seen: Seen, path: str, body: JSON
    ) -> JSON:
        """The same request under the same key until it is answered, at either gateway."""
        headers = {"idempotency-key": seen.mark}
        until_s = time.monotonic() + RESOLVE_S
        while True:
            answer = self._try(http, chance.choice(self.gateways), seen, path, body, headers)
            again = (
                seen.status in (0, 409, 502, 503) and answer.get("code") != "idempotency_replayed"
            )
            if not again or time.monotonic() > until_s:
                return answer
            seen.tries += 1
            time.sleep(0.1)

    def _video(self, http: httpx2.Client, chance: random.Random) -> Seen:
        """Begin one and wait for its end; complete is one whose address was told."""
        seen = Seen("video", _mark())
        body = {"model": "wan2.7-t2v", "prompt": f"Waves [[id={seen.mark}]]", "duration": 5}
        answer = self._insist(http, chance, seen, "video/generations", body)
        task = str(answer.get("id") or answer.get("task_id") or "")
        seen.complete = False
        until_s = time.monotonic() + WATCH_S
        while task and time.monotonic() < until_s:
            poll = Seen("poll", seen.mark)
            url = f"{chance.choice(self.gateways)}/v1/video/tasks/{task}"
            now = self._send(http, "GET", url, poll, None, {})
            if now.get("status") in ("succeeded", "failed"):
                seen.request_id = f"req_{task.removeprefix('task_')}"
                seen.complete = now["status"] == "succeeded" and bool(now["output"]["video_url"])
                seen.refusal = "" if seen.complete else json.dumps(now["error"])
                break
            time.sleep(0.2)
        return seen

    def _try(
        self, http: httpx2.Client, gateway: str, seen: Seen, path: str, body: JSON, headers: dict[str, str]
    ) -> JSON:  # fmt: skip
        return self._send(http, "POST", f"{gateway}/v1/{path}", seen, body, headers)

    def _send(
        self, http: httpx2.Client, method: str, url: str, seen: Seen, body: JSON | None, headers: dict[str, str]
    ) -> JSON:  # fmt: skip
        """One request; whatever happens to it is noted in ``seen``. The answer, or the error in it."""
        headers = {"authorization": f"Bearer {self.secret}", **headers}
        seen.status, seen.complete = 0, False
        try:
            with http.stream(method, url, json=body, headers=headers) as response:
                content = response.read()
                request_id = response.headers.get("x-request-id", "")
            seen.status = response.status_code
            if seen.status != 200:
                seen.refusal = content.decode(errors="replace")[:600]
                error: JSON = json.loads(content).get("error") or {}
                return error
            seen.complete = _is_complete(seen.kind, content)
            seen.request_id = request_id
            answer: JSON = {} if "stream" in seen.kind else json.loads(content)
        except (httpx2.HTTPError, json.JSONDecodeError):
            return {}
        return answer


def _request(kind: str, mark: str, model: str) -> tuple[str, JSON]:
    text = f"Hello [[tokens=12]] [[id={mark}]]"
    messages = [{"role": "user", "content": text}]
    body: dict[str, Any] = {"model": model, "stream": kind.endswith("stream")}
    match kind.split()[0]:
        case "chat" | "once":
            return "chat/completions", {**body, "messages": messages, "max_tokens": 12}
        case "messages":
            return "messages", {**body, "messages": messages, "max_tokens": 12}
        case "responses":
            return "responses", {**body, "input": text, "max_output_tokens": 16}
        case "embeddings":
            return "embeddings", {"model": "text-embedding-3-small", "input": text}
        case "image":
            return "images/generations", {"model": "gpt-image-2", "prompt": text}
    raise AssertionError(kind)


def _is_complete(kind: str, content: bytes) -> bool:
    """Whether the protocol says that this is the whole answer."""
    match kind:
        case "chat stream":
            return content.endswith(b"data: [DONE]\n\n")
        case "messages stream":
            return b"event: message_stop" in content
        case "responses stream":
            return (
                b"event: response.completed" in content or b"event: response.incomplete" in content
            )
        case _:
            json.loads(content)
            return True


def _mark() -> str:
    return uuid.uuid4().hex[:20]
