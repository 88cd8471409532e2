"""One video that goes wrong in a way nobody thought of keeps no other from its end, nor itself from its own."""

import contextlib
import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from billing.audit import audit
from billing.models import MediaTask
from billing.selectors import balance_of
from tests import factories
from tests.live import Gateway
from tests.processes import eventually
from tokenhub.gateway.dialects.base import InvalidResult
from tokenhub.gateway.media.follow import follow
from tokenhub.gateway.media.video_dialects import DIALECTS

CREDIT = 10_000_000_000


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "name", ["", "vid_٣", "é", "a/b", "a?b", "a b", "a%2e", "..", ".", "a\n", "x" * 201]
)
def test_an_id_that_cannot_stand_in_a_path_is_no_beginning(dialect: str, name: str) -> None:
    said = {"id": name, "output": {"task_id": name}}

    with pytest.raises(InvalidResult):
        DIALECTS[dialect].begun(json.dumps(said).encode())


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", ["7", "video_1a-b.c", "0385dc79-5ff8-4d82-bcb6-7c0bc5cf8e24"])
def test_an_id_as_providers_have_them_is_kept(dialect: str, name: str) -> None:
    said = {"id": name, "output": {"task_id": name}}

    assert DIALECTS[dialect].begun(json.dumps(said).encode()) == name


def begun(gateway: Gateway) -> MediaTask:
    """A video that is well on its way."""
    minted = factories.key(factories.organization(credit_nano=CREDIT))
    response = gateway.post(
        minted.secret, "video/generations", {"model": "wan2.7-t2v", "prompt": "Waves"}
    )
    assert response.status_code == 200, response.text
    return MediaTask.objects.get(pk=response.json()["id"])  # type: ignore[no-any-return]


def odd(beside: MediaTask, **made: Any) -> MediaTask:
    """Another at the same provider, with something that should never have come on record."""
    task = factories.media_task(factories.organization(), begun=False)
    names = ("upstream_id", "credential", "model", "provider", "region", "dialect", "offering")
    names += ("price_version", "price", "quoted_nano", "attempts")
    values = {**{name: getattr(beside, name) for name in names}, **made}
    with connection.cursor() as cursor:
        cursor.execute("SELECT billing_begin_task(%s, %s::json)", [task.id[5:], json.dumps(values)])
    return task


def look_at(*tasks: MediaTask, after: timedelta) -> None:
    """One look at these, that much later."""
    for task in tasks:
        MediaTask.objects.filter(pk=task.pk, finished_at=None).update(next_poll_at=task.created_at)
    try:
        follow(timezone.now() + after)
    finally:
        for task in tasks:
            task.refresh_from_db()


def test_a_video_that_cannot_be_asked_about_ends_at_its_deadline_and_stops_no_other(
    gateway: Gateway,
) -> None:
    good = begun(gateway)
    bad = odd(good, upstream_id="vid_٣")  # from before such a name was refused

    def ended() -> bool:
        look_at(bad, good, after=timedelta(minutes=1))
        return not good.open

    eventually(ended, what="its end")

    assert (good.status, bad.status) == ("succeeded", "pending")
    look_at(bad, after=timedelta(hours=1, seconds=1))
    assert (bad.status, bad.error_code) == ("failed", "deadline_exceeded")
    assert balance_of(bad.organization).on_hold_nano == 0
    assert audit(bad.organization) == audit(good.organization) == []


def test_a_video_that_cannot_be_ended_as_it_ended_stops_no_other_and_is_told(
    gateway: Gateway,
) -> None:
    good = begun(gateway)
    bad = odd(good, price={})  # nothing says what its success costs

    def ended() -> bool:
        with contextlib.suppress(ExceptionGroup):
            look_at(bad, good, after=timedelta(minutes=1))
        return not good.open

    eventually(ended, what="its end")

    assert (good.status, bad.open) == ("succeeded", True)
    with pytest.raises(ExceptionGroup, match="could not be brought on"):
        look_at(bad, after=timedelta(hours=1, seconds=1))
    assert (bad.status, bad.error_code) == ("failed", "deadline_exceeded")
    assert balance_of(bad.organization).on_hold_nano == 0
    assert audit(bad.organization) == audit(good.organization) == []
