"""Which results are charged but not yet handed to the network: what ``kill -9`` leaves to be put right.

A result is marked *pending* before its group commit and unmarked in the instant before its last
bytes are given to the kernel. The marks live in a memory-mapped file, so they outlast the process at
no cost to a request. Whoever finds the journal of a dead process takes back the charge of what is
still pending there: it was billed and certainly not delivered (promise 1, R4).
"""

import fcntl
import mmap
import os
import uuid
from collections.abc import Collection, Iterator
from pathlib import Path

SLOTS = 16_384
SLOT_BYTES = 17  # a state, then the request's UUID
PENDING, FREE = 1, 0
SUFFIX = ".journal"


class Journal:
    """The marks of this process, in a file that a lock says is alive."""

    def __init__(self, directory: Path, name: str) -> None:
        self.path = directory / f"{name}{SUFFIX}"
        self._file, self._marks = self._make(bytes(SLOTS * SLOT_BYTES))
        self._free = list(range(SLOTS))

    def _make(self, marks: bytes) -> tuple[int, mmap.mmap]:
        """The file with these marks, and its memory."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Under another name until it is locked: unlocked, it would be taken for a dead process's and removed.
        new = self.path.with_suffix(".new")
        file = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Every block of it now: a mark that found the disk full would end the process (SIGBUS).
            os.posix_fallocate(file, 0, SLOTS * SLOT_BYTES)
            memory = mmap.mmap(file, SLOTS * SLOT_BYTES)
            memory[:] = marks
            new.rename(self.path)
        except OSError as error:
            new.unlink(missing_ok=True)
            os.close(file)
            raise OSError(
                error.errno, f"No journal can be kept: {error.strerror}", str(self.path)
            ) from None
        return file, memory

    def mend(self) -> bool:
        """Where somebody removed the file, keep the marks in another; whether that was so. ``OSError``."""
        if os.fstat(self._file).st_nlink:
            return False
        file, memory = self._make(self._marks[:])
        self._marks.close()
        os.close(self._file)
        self._file, self._marks = file, memory
        return True

    def pending(self, request: uuid.UUID) -> int:
        """Mark a result that is about to be charged; returns its slot. -1 where all are taken."""
        if not self._free:
            return -1
        slot = self._free.pop()
        start = slot * SLOT_BYTES
        # The id first: a state without its id would accuse the slot's previous owner.
        self._marks[start + 1 : start + SLOT_BYTES] = request.bytes
        self._marks[start] = PENDING
        return slot

    def done(self, slot: int) -> None:
        """The result goes out now, or will never be charged."""
        if slot >= 0:
            self._marks[slot * SLOT_BYTES] = FREE
            self._free.append(slot)

    def close(self, owed: Collection[int] = ()) -> None:
        """An orderly end: what is still pending belongs to clients that hung up or nobody.

        What is in the slots ``owed`` is left to whoever finds the journal.
        """
        for slot in range(SLOTS if owed else 0):
            if slot not in owed:
                self._marks[slot * SLOT_BYTES] = FREE
        self._marks.close()
        if not owed:
            self.path.unlink(missing_ok=True)
        os.close(self._file)


def abandoned(directory: Path) -> Iterator[tuple[Path, list[uuid.UUID]]]:
    """The journals of dead processes, with the results that were pending there.

    The caller removes a journal once it has put things right; until then it is found again.
    """
    for path in sorted(directory.glob(f"*{SUFFIX}")):
        try:
            file = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield path, list(_pending(path.read_bytes()))
        except BlockingIOError:
            continue  # its process lives
        finally:
            os.close(file)


def _pending(marks: bytes) -> Iterator[uuid.UUID]:
    for start in range(0, len(marks) - SLOT_BYTES + 1, SLOT_BYTES):
        if marks[start] == PENDING:
            yield uuid.UUID(bytes=marks[start + 1 : start + SLOT_BYTES])
