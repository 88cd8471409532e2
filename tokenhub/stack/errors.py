"""What can go wrong with the embedded stack, each with a sentence a person can act on."""

from pathlib import Path


class StackError(Exception):
    """The embedded stack cannot do what was asked; the message says why."""


class ServiceFailedError(StackError):
    """A service did not start or stopped at once; the message ends with its log."""

    def __init__(self, title: str, reason: str, log_path: Path, log_tail: str) -> None:
        self.log_tail = log_tail
        super().__init__(f"{title} {reason}. The end of {log_path}:\n{log_tail or '(nothing)'}")


class IncompatibleDataError(StackError):
    """The data directory was written by another major version."""

    def __init__(self, title: str, found: str, wanted: str, directory: Path) -> None:
        super().__init__(
            f"{directory} was written by {title} {found}, and this is {title} {wanted}. "
            f"Dump it with version {found} and load it into an empty DATA_DIR, "
            "or move that directory away to begin anew."
        )


class ForeignDataError(StackError):
    """The data directory belongs to another user of this machine."""

    def __init__(self, directory: Path, owner: str) -> None:
        super().__init__(
            f"{directory} belongs to {owner}. Run as {owner}, "
            "or set DATA_DIR to a directory of yours."
        )
