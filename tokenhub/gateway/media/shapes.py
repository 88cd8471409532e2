"""How a task is told to clients: ours with DashScope's reading beside it, and as a video of OpenAI's API."""

from typing import Any

from billing.money import usd_from_nano
from tokenhub.gateway.media.requests import DASHSCOPE
from tokenhub.gateway.media.videos import public_name
from tokenhub.gateway.taskbook import Task

DASHSCOPE_STATUS = {
    "pending": "PENDING",
    "running": "RUNNING",
    "succeeded": "SUCCEEDED",
    "failed": "FAILED",
}
OPENAI_STATUS = {
    "pending": "queued",
    "running": "in_progress",
    "succeeded": "completed",
    "failed": "failed",
}
PROGRESS = {"pending": 0, "running": 50, "succeeded": 100, "failed": 100}


def generation(task: Task, *, fresh: bool = False, link: str = "") -> dict[str, Any]:
    """``/v1/video/generations`` and ``/v1/video/tasks/{id}``; ``link`` leads to the video where there is one."""
    answer: dict[str, Any] = {
        "id": task.public_id,
        "object": "video.generation.task",
        "status": task.status,
        "model": public_name(task),
        "created_at": int(task.created_at.timestamp()),
    }
    if not fresh or task.shape == DASHSCOPE:
        answer["output"] = {
            "task_id": task.public_id,
            "task_status": DASHSCOPE_STATUS[task.status],
        }
        answer["request_id"] = f"req_{task.id.hex}"
    if task.finished_at is not None:
        answer["finished_at"] = int(task.finished_at.timestamp())
    if task.status == "succeeded":
        if link:
            answer["output"]["video_url"] = link
        seconds = sum(task.units.values())
        lines = next((unit.rpartition("_")[2] for unit in task.units), task.resolution)
        answer["usage"] = {
            "duration": seconds,
            "video_count": 1,
            "SR": int(lines.removesuffix("p")),
            "output_video_duration": seconds,
            "cost_usd": usd_from_nano(task.total_nano),
        }
    elif task.status == "failed":
        answer["error"] = _error(task)
        answer["output"] |= answer["error"]
    return answer


def video(task: Task) -> dict[str, Any]:
    """``/v1/videos`` and ``/v1/videos/{id}``, as OpenAI's clients know them."""
    return {
        "id": task.public_id,
        "object": "video",
        "created_at": int(task.created_at.timestamp()),
        "completed_at": int(task.finished_at.timestamp()) if task.finished_at else None,
        "expires_at": None,
        "error": _error(task) if task.status == "failed" else None,
        "model": public_name(task),
        "progress": PROGRESS[task.status],
        "remixed_from_video_id": None,
        "seconds": str(sum(task.units.values()) or task.seconds),
        "size": task.size,
        "status": OPENAI_STATUS[task.status],
    }


def _error(task: Task) -> dict[str, str]:
    return {"code": task.error_code, "message": task.error_message}
