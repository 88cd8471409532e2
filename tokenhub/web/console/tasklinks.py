"""The links by which pages lead to a video."""

from uuid import UUID

from billing.models import MediaTask
from tokenhub.gateway.media.links import links


def link_of(task: MediaTask) -> str:
    """An address of ours that opens the task's video for an hour, without a key; empty where there is none."""
    if not task.media_url:
        return ""
    organization = UUID(hex=task.organization_id.removeprefix("org_"))
    return links().video(UUID(hex=str(task.id).removeprefix("task_")), organization)
