"""A small file system that a test can fill: a real one where this machine lets us mount it."""

import contextlib
import errno
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

CHUNKS = (1024 * 1024, 64 * 1024, 4096)


class SmallDisk:
    """A folder with a file system of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def fill(self) -> None:
        """Until nothing more can be written: what follows meets ENOSPC."""
        with self._filler.open("ab") as file:
            for size in CHUNKS:
                with contextlib.suppress(OSError):
                    while True:
                        os.posix_fallocate(file.fileno(), file.tell(), size)
                        file.seek(0, os.SEEK_END)
        with pytest.raises(OSError) as full:
            (self.path / "more").write_bytes(b"x" * 8192)
        assert full.value.errno == errno.ENOSPC
        (self.path / "more").unlink()

    def free(self) -> None:
        """There is space again."""
        self._filler.unlink()


@contextlib.contextmanager
def small_disk(megabytes: int) -> Iterator[SmallDisk]:
    """A file system of that size; the test is skipped where nobody lets us mount one."""
    # Not pytest's own directory, whose ancestors are private: root's servers run as nobody.
    folder = Path(tempfile.mkdtemp(prefix="th-disk-"))
    folder.chmod(0o777)
    options = f"size={megabytes}m,mode=0777"
    try:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tokenhub-test", folder],
            capture_output=True, check=False, text=True,
        )  # fmt: skip
        if done.returncode != 0:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
        try:
            yield SmallDisk(folder)
        finally:
            # Lazily: a server may still have a file open that is gone.
            subprocess.run(["umount", "--lazy", folder], check=True)
    finally:
        folder.rmdir()
