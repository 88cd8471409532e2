"""Alibaba Cloud DashScope's wire format: pictures at once, videos as tasks."""

import time
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tokenhub.stack.providers.text import marks, text_of

RUNNING_AFTER_S, DONE_AFTER_S = 0.2, 0.6


@dataclass(slots=True)
class Task:
    """A video on its way: pending, then running, then there; or what its prompt's marks say.

    ``[[fail]]`` fails, ``[[hang]]`` never ends, ``[[flip]]`` succeeds and then says that it failed,
    ``[[late]]`` fails and then says that it succeeded.
    """

    id: str
    model: str
    request: bytes
    asked: dict[str, str]
    seconds: int
    height: int
    size: str = ""
    began_s: float = field(default_factory=time.monotonic)
    ends: int = 0
    """How often it has said that it ended."""

    def status(self) -> str:
        """Where it is now, said once more."""
        age_s = time.monotonic() - self.began_s
        if age_s < RUNNING_AFTER_S:
            return "PENDING"
        if age_s < DONE_AFTER_S or "hang" in self.asked:
            return "RUNNING"
        self.ends += 1
        failing = "fail" in self.asked
        if "flip" in self.asked:
            failing = self.ends > 1
        elif "late" in self.asked:
            failing = self.ends == 1
        return "FAILED" if failing else "SUCCEEDED"

    def address(self, url: str) -> str:
        """Where the video is; ``[[url=…]]`` says otherwise."""
        return self.asked.get("url") or f"{url}/_media/{self.id}.mp4"

    @property
    def seconds_made(self) -> int:
        """``[[seconds=N]]`` makes it another length than was asked for."""
        return int(self.asked.get("seconds") or self.seconds)


def _text(body: dict[str, Any]) -> str:
    given = body.get("input") or {}
    return str(given.get("prompt", "")) + "".join(
        text_of(message.get("content")) for message in given.get("messages") or []
    )


def images(
    body: dict[str, Any], url: str, call: str, *, empty: bool, used: Any
) -> tuple[bytes, Any]:
    """The multimodal generation answer of the text-to-image models, and the exact usage."""
    asked = marks(_text(body))
    parameters = body.get("parameters") or {}
    count = int(asked.get("images") or parameters.get("n") or 1)
    contents = [
        {"image": asked.get("url") or f"{url}/_media/{call}-{index}.png", "type": "image"}
        for index in range(count)
    ]
    exact = {"image_count": count, "size": parameters.get("size") or "1024*1024"}
    answer = {
        "request_id": call,
        "output": {
            "choices": [
                {"finish_reason": "stop", "message": {"role": "assistant", "content": [content]}}
                for content in ([] if empty else contents)
            ],
            "finished": True,
        },
        "usage": used(exact),
    }
    return msgspec.json.encode({k: v for k, v in answer.items() if v is not None}), exact


def new_task(body: dict[str, Any], raw: bytes, call: str) -> Task:
    """A video task from a synthesis request."""
    parameters = body.get("parameters") or {}
    resolution = str(parameters.get("resolution") or parameters.get("size") or "720P").upper()
    return Task(
        call,
        str(body.get("model", "")),
        raw,
        marks(_text(body)),
        int(parameters.get("duration") or 5),
        1080 if "1080" in resolution else 720,
    )


def created(task: Task, *, empty: bool) -> bytes:
    """The answer to a synthesis request."""
    output = {} if empty else {"task_id": task.id, "task_status": "PENDING"}
    return msgspec.json.encode({"request_id": task.id, "output": output})


def polled(task: Task, url: str, *, empty: bool, used: Any) -> bytes:
    """The answer to a poll."""
    status = task.status()
    answer: dict[str, Any] = {
        "request_id": task.id,
        "output": {"task_id": task.id, "task_status": status},
    }
    if status == "SUCCEEDED":
        if not empty:
            answer["output"]["video_url"] = task.address(url)
        exact = {
            "duration": task.seconds_made,
            "video_count": 1,
            "SR": task.height,
            "output_video_duration": task.seconds_made,
        }
        answer["usage"] = used(exact)
    elif status == "FAILED":
        answer["output"] |= {"code": "InternalError.Algo", "message": "The simulated task failed."}
    return msgspec.json.encode(answer)


def error(status: int, message: str) -> bytes:
    """DashScope's error shape."""
    code = {400: "InvalidParameter", 401: "InvalidApiKey", 404: "ModelNotFound"}.get(
        status, "InternalError"
    )
    return msgspec.json.encode({"code": code, "message": message, "request_id": "sim"})
