"""Under whose account the embedded services run, and what that account must be able to reach.

PostgreSQL refuses to run as root. Started by root, the services run as the owner of the data if
that is an ordinary user, and as ``nobody`` otherwise. Started by anyone else, as that user.
"""

import os
import pwd
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenhub.stack.errors import ForeignDataError, StackError

UNPRIVILEGED = "nobody"


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine under whom a service runs."""

    name: str
    uid: int
    gid: int

    @property
    def is_ours(self) -> bool:
        """Whether this process already runs under the account."""
        return self.uid == os.geteuid()

    def popen_options(self) -> dict[str, Any]:
        """Arguments for ``Popen`` that make the child run under the account, its files private."""
        if self.is_ours:
            return {"umask": 0o077}
        return {"umask": 0o077, "user": self.uid, "group": self.gid, "extra_groups": []}

    def may_search(self, directory: Path) -> bool:
        """Whether the mode of a directory lets the account pass through it."""
        status = directory.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & stat.S_IXUSR)
        if status.st_gid == self.gid:
            return bool(status.st_mode & stat.S_IXGRP)
        return bool(status.st_mode & stat.S_IXOTH)


def account_for(directory: Path) -> Account:
    """The account to run a service under whose files are in ``directory``, which need not exist."""
    uid = os.geteuid()
    owner = directory.stat().st_uid if directory.exists() else uid
    if uid != 0 and owner != uid:
        raise ForeignDataError(directory, _user_name(owner))
    if owner != 0:
        return _account(owner)
    try:
        entry = pwd.getpwnam(UNPRIVILEGED)
    except KeyError:
        raise StackError(
            f"This machine has no user '{UNPRIVILEGED}', and PostgreSQL refuses to run as root. "
            "Run as an ordinary user, or set DATABASE_URL."
        ) from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def private_directory(path: Path, account: Account) -> None:
    """Make ``path`` a directory that only the account can enter; refuse one made by others."""
    try:
        path.mkdir(mode=0o700)
        if not account.is_ours:
            os.chown(path, account.uid, account.gid)
    except FileExistsError:
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode):
            raise StackError(f"{path} is in the way: it is not a directory.") from None
        if status.st_uid == 0 == os.geteuid() and not any(path.iterdir()):
            os.chown(path, account.uid, account.gid)  # a start was interrupted just above
        elif status.st_uid != account.uid:
            raise ForeignDataError(path, _user_name(status.st_uid)) from None
        if status.st_mode & 0o077:
            path.chmod(0o700)


def open_the_way(path: Path, account: Account, title: str) -> None:
    """Let the account pass through the directories above ``path``, where it cannot yet."""
    if account.is_ours:
        return
    for directory in reversed(path.parents):
        if account.may_search(directory):
            continue
        try:
            directory.chmod(stat.S_IMODE(directory.stat().st_mode) | stat.S_IXOTH)
        except OSError as error:
            raise StackError(
                f"{title} runs as '{account.name}' and cannot pass through {directory} ({error}). "
                "Run as an ordinary user, or choose another DATA_DIR."
            ) from error
        print(
            f"Gave search permission (o+x) on {directory}: {title} runs as '{account.name}' "
            f"and must reach {path}.",
            file=sys.stderr,
        )


def open_the_tree(root: Path, account: Account) -> None:
    """Let the account read an installation that a strict umask made private to root."""
    if account.is_ours:
        return
    for path in _tree(root):
        mode = stat.S_IMODE(path.lstat().st_mode)
        readable = mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0)
        if readable != mode and not path.is_symlink():
            path.chmod(readable)


def owned_by_parent(path: Path) -> None:
    """Give a file that root made to the owner of its directory, who must be able to use it too."""
    parent = path.parent.stat()
    if os.geteuid() == 0 and parent.st_uid != 0:
        os.chown(path, parent.st_uid, parent.st_gid)


def _tree(root: Path) -> Iterator[Path]:
    yield root
    for directory, names, files in os.walk(root):
        for name in (*names, *files):
            yield Path(directory, name)


def _account(uid: int) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise StackError(
            f"User id {uid} has no name on this machine, and PostgreSQL needs one. "
            "Add it to /etc/passwd, or set DATABASE_URL."
        ) from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user id {uid}"
