"""A charge of what nobody was given is taken back in the end, whatever goes wrong meanwhile (P1, R4)."""

import asyncio
import shutil
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError

from tokenhub.gateway import journal, undelivered
from tokenhub.gateway.journal import Journal, abandoned
from tokenhub.gateway.undelivered import Undelivered


@pytest.fixture
def trouble(monkeypatch: Any) -> list[Any]:
    """What goes wrong, one after the other; then what was taken back."""
    happens: list[Any] = []

    def take_back(ids: list[str], *, reason: str) -> int:
        if happens and isinstance(happens[0], Exception):
            raise happens.pop(0)
        happens.append(sorted(ids))
        return len(ids)

    monkeypatch.setattr(undelivered, "take_back", take_back)
    monkeypatch.setattr(undelivered, "RETRY_S", 0.0)
    monkeypatch.setattr(undelivered, "STOP_WITHIN_S", 0.3)
    return happens


def marked(directory: Path) -> list[uuid.UUID]:
    """What the journal of a process that is gone still has."""
    return [request for _, pending in abandoned(directory) for request in pending]


def test_it_is_tried_until_it_works_and_marked_until_then(
    tmp_path: Path, trouble: list[Any]
) -> None:
    trouble += [
        OperationalError("the database system is starting up"),
        OperationalError("no connection"),
    ]
    requests = [uuid.uuid4(), uuid.uuid4()]

    async def run() -> None:
        marks = Journal(tmp_path, "mine")
        books = Undelivered(marks)
        books.add({request: marks.pending(request) for request in requests})
        await books.stop()
        assert books.slots == frozenset()
        marks.close(books.slots)

    asyncio.run(run())

    assert trouble == [sorted(f"req_{request.hex}" for request in requests)]
    assert marked(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_what_was_not_done_at_the_end_is_left_to_the_next_process(
    tmp_path: Path, trouble: list[Any]
) -> None:
    trouble += [OperationalError("away")] * 1_000_000
    owed, delivered = uuid.uuid4(), uuid.uuid4()

    async def run() -> None:
        marks = Journal(tmp_path, "mine")
        books = Undelivered(marks)
        marks.pending(delivered)  # its client hung up: it was complete, and is paid for
        books.add({owed: marks.pending(owed)})
        await books.stop()
        marks.close(books.slots)

    asyncio.run(run())

    assert marked(tmp_path) == [owed]


@pytest.mark.parametrize("call", ["flock", "posix_fallocate"])
def test_a_journal_that_is_being_made_is_nobodys_to_remove(
    tmp_path: Path, monkeypatch: Any, call: str
) -> None:
    module = {"flock": journal.fcntl, "posix_fallocate": journal.os}[call]
    real = getattr(module, call)
    request = uuid.uuid4()

    def recover() -> None:
        for path, _ in abandoned(tmp_path):
            path.unlink()

    def meanwhile(*arguments: Any) -> Any:
        monkeypatch.setattr(module, call, real)
        recover()  # another gateway of this machine, between one step and the next
        result = real(*arguments)
        recover()
        return result

    monkeypatch.setattr(module, call, meanwhile)
    mine = Journal(tmp_path, "mine")
    slot = mine.pending(request)
    recover()

    assert mine.path.exists()
    assert marked(tmp_path) == []  # its process lives
    mine.close([slot])
    assert marked(tmp_path) == [request]


def test_a_journal_that_was_removed_under_its_process_is_kept_in_another_file(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "data"
    marks = Journal(directory, "mine")
    assert not marks.mend()
    first, second = uuid.uuid4(), uuid.uuid4()
    slot = marks.pending(first)
    marks.pending(second)

    shutil.rmtree(directory)
    assert marks.mend()

    marks.done(slot)
    # As a kill leaves it: what was marked before and is not delivered yet is there to be found.
    dead = directory / "dead.journal"
    dead.write_bytes(marks.path.read_bytes())
    assert marked(directory) == [second]
    marks.close()
    assert list(directory.iterdir()) == [dead]
