"""File locks that the kernel releases when their holder ends, however it ends."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from tokenhub.stack.privileges import owned_by_parent


class FileLock:
    """One opened lock file; two of the same path exclude each other even in one process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    @property
    def descriptor(self) -> int:
        """For a child that is to hold the lock together with this process."""
        assert self._descriptor is not None, "the lock is not held"
        return self._descriptor

    def share(self) -> None:
        """Hold the lock together with others; waits for an exclusive holder."""
        fcntl.flock(self._open(), fcntl.LOCK_SH)

    def take(self) -> None:
        """Hold the lock alone; waits for all others."""
        fcntl.flock(self._open(), fcntl.LOCK_EX)

    def try_take(self) -> bool:
        """Hold the lock alone, if nobody else holds it now."""
        try:
            fcntl.flock(self._open(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            return False
        return True

    def release(self) -> None:
        """Let go, also on behalf of children that were given the descriptor."""
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            self.close()

    def close(self) -> None:
        """Let go for this process; children that were given the descriptor keep holding."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock alone for a while."""
        self.take()
        try:
            yield
        finally:
            self.release()

    def _open(self) -> int:
        if self._descriptor is None:
            new = not self._path.exists()
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            if new:
                owned_by_parent(self._path)
        return self._descriptor
