"""A live gateway and the simulated providers behind it, as tests talk to them."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2

JSON = dict[str, Any]


class Providers:
    """The control plane of the simulated providers. Faults set here hit only this test's calls."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx2.Client(base_url=f"{url}/_control", timeout=10)

    def fault(self, provider: str, mode: str, **options: Any) -> None:
        """Make calls of a provider fail in some way."""
        answer = self._http.put("/faults", json={"provider": provider, "mode": mode, **options})
        answer.raise_for_status()

    def lift_faults(self) -> None:
        """All providers are well again."""
        self._http.delete("/faults").raise_for_status()

    def calls(self, **wanted: str) -> list[JSON]:
        """What arrived, by marker, provider, region or model."""
        data: list[JSON] = self._http.get("/calls", params=wanted).json()["data"]
        return data


class Stripe:
    """The simulated Stripe's control plane, and a customer at its hosted page."""

    CARD, DECLINED, AUTHENTICATION, DISPUTED, LATER_DECLINED = (
        "4242424242424242", "4000000000000002", "4000002760003184", "4000000000000259", "4000000000000341",
    )  # fmt: skip

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx2.Client(base_url=f"{url}/_control", timeout=20)

    def control(self, method: str, route: str, /, **body: Any) -> Any:
        """One control request; its JSON."""
        answer = self._http.request(method, route, json=body or None)
        answer.raise_for_status()
        return answer.json()

    def reset(self) -> None:
        """Forget everything, misbehave no more, and tell nobody of anything."""
        self.control("POST", "/reset")
        self.lift_faults()
        self.listen("", paused=True)

    def lift_faults(self) -> None:
        """It is well again."""
        self._http.delete("/faults").raise_for_status()

    def listen(self, url: str, *, paused: bool = False) -> None:
        """Send webhooks there; while paused they pile up."""
        self.control("PUT", "/webhook", url=url, secret="whsec_suite", paused=paused)

    def pay(self, url: str, card: str = CARD, *, authenticate: str = "complete") -> int:
        """Pay on the hosted page by its form; the last status, 303 where it led back."""
        with httpx2.Client(timeout=20) as visitor:
            answer = visitor.post(url, data={"card": card, "action": "pay"})
            if answer.status_code == 200:
                answer = visitor.post(url, data={"action": authenticate})
            return int(answer.status_code)

    def events(self, kind: str = "") -> list[JSON]:
        """What happened, the oldest first."""
        found: list[JSON] = self.control("GET", "/events")["data"]
        found.sort(key=lambda event: event.get("created", 0))
        return [event for event in found if event["type"].startswith(kind)]


@dataclass
class Gateway:
    """Calls ``/v1`` as a customer's program would."""

    url: str
    providers: Providers
    http: httpx2.Client = field(default_factory=lambda: httpx2.Client(timeout=30))

    def chat(
        self, secret: str, model: str = "deepseek-v3.2", text: str = "Hello", **body: Any
    ) -> httpx2.Response:
        """One plain chat call."""
        headers = body.pop("headers", {})
        return self.http.post(
            f"{self.url}/v1/chat/completions",
            headers={"authorization": f"Bearer {secret}", **headers},
            json={
                "model": model,
                "messages": [{"role": "user", "content": text}],
                "max_tokens": 64,
                **body,
            },
        )

    def post(
        self, secret: str, path: str, body: Any, headers: dict[str, str] | None = None
    ) -> httpx2.Response:
        """One call of any route below ``/v1``."""
        return self.http.post(
            f"{self.url}/v1/{path}",
            headers={"authorization": f"Bearer {secret}", **(headers or {})},
            json=body,
        )

    def get(self, secret: str, path: str) -> httpx2.Response:
        """One read of any route below ``/v1``."""
        return self.http.get(f"{self.url}/v1/{path}", headers={"authorization": f"Bearer {secret}"})

    def stream(
        self, secret: str, model: str = "deepseek-v3.2", text: str = "Hello", **body: Any
    ) -> "Stream":
        """One streamed chat call, read to its end."""
        headers = body.pop("headers", {})
        with self.http.stream(
            "POST",
            f"{self.url}/v1/chat/completions",
            headers={"authorization": f"Bearer {secret}", **headers},
            json={
                "model": model,
                "messages": [{"role": "user", "content": text}],
                "max_tokens": 64,
                "stream": True,
                **body,
            },
        ) as response:
            return Stream(response, list(_events(response)))


@dataclass
class Stream:
    """A stream as it arrived."""

    response: httpx2.Response
    events: list[str]

    @property
    def done(self) -> bool:
        """Whether it ended as complete."""
        return bool(self.events) and self.events[-1] == "[DONE]"

    @property
    def chunks(self) -> list[JSON]:
        """Every event but the terminal one."""
        return [json.loads(event) for event in self.events if event != "[DONE]"]

    @property
    def text(self) -> str:
        """The answer's text."""
        return "".join(
            choice["delta"].get("content") or ""
            for chunk in self.chunks
            for choice in chunk.get("choices", [])
        )


def _events(response: httpx2.Response) -> Iterator[str]:
    if response.status_code != 200:
        response.read()
        return
    for line in response.iter_lines():
        if line.startswith("data: "):
            yield line.removeprefix("data: ")


def marker() -> str:
    """A mark for a prompt, by which the providers' record finds this test's calls."""
    return uuid.uuid4().hex[:16]
