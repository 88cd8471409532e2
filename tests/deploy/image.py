"""The container image without a container engine: its files and the lines of its Dockerfile, in a folder."""

import fnmatch
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.processes import BASE_DIR


@dataclass
class Stage:
    """One FROM and what follows it."""

    base: str
    name: str
    lines: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        """The arguments of an instruction, in order."""
        return [argument for name, argument in self.lines if name == instruction]


def stages() -> list[Stage]:
    """The Dockerfile, line by line."""
    text = (BASE_DIR / "Dockerfile").read_text(encoding="utf-8")
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    found: list[Stage] = []
    for line in filter(str.strip, text.splitlines()):
        instruction, _, argument = line.strip().partition(" ")
        if instruction == "FROM":
            base, _, name = argument.partition(" AS ")
            found.append(Stage(base, name))
        elif found:
            found[-1].lines.append((instruction, re.sub(r"\s+", " ", argument).strip()))
    return found


def files() -> list[str]:
    """What ``COPY . ./`` takes from a clean clone: everything in the repository that is not ignored."""
    ignored = [
        line.strip()
        for line in (BASE_DIR / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.strip() and not line.startswith("#")
    ]
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=BASE_DIR, check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    return [path for path in listed if not any(_matches(path, pattern) for pattern in ignored)]


def _matches(path: str, pattern: str) -> bool:
    parts = path.split("/")
    wholes = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    if pattern.startswith("**/"):
        return any(fnmatch.fnmatch(part, pattern.removeprefix("**/")) for part in parts)
    return any(fnmatch.fnmatch(whole, pattern) for whole in wholes)


def build(root: Path, python: list[str], environ: dict[str, str]) -> Path:
    """Run the build stage in ``root`` with an interpreter that has the packages; the folder of the app."""
    app = root / "app"
    for path in files():
        target = app / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(BASE_DIR / path, target)
    for line in stages()[0].all("RUN"):
        if "pip " in line or "-m venv" in line:
            continue  # the packages are there: the test environment has the same lock
        command = line.replace("/opt/venv/bin/python", " ".join(python)).replace("/app", str(app))
        subprocess.run(["/bin/sh", "-ec", command], cwd=app, check=True, env=environ)
    return app


def interpreter(user: int | None, root: Path) -> list[str] | None:
    """An interpreter that ``user`` may run, with this environment's packages; ``None`` where there is none.

    Where Python lives in somebody's private home, it gets a second name in ``root``.
    """
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    command = ["/usr/bin/env", f"PYTHONPATH={packages}", sys.executable]
    if not _runs(command, user):
        home = root / "python"
        own = Path(sys.base_prefix)
        version = f"python3.{sys.version_info.minor}"
        try:
            shutil.copytree(
                own / "lib", home / "lib", symlinks=True, copy_function=os.link,
                ignore=shutil.ignore_patterns("site-packages", "test", "*.a"),
            )  # fmt: skip
            (home / "bin").mkdir()
            os.link((own / "bin" / version).resolve(), home / "bin" / version)
        except OSError:
            return None
        command = [
            *command[:2],
            f"PYTHONHOME={home}",
            f"LD_LIBRARY_PATH={home / 'lib'}",  # its own shared library, where it has one
            str(home / "bin" / version),
        ]
    return command if _runs(command, user) else None


def _runs(command: list[str], user: int | None) -> bool:
    try:
        tried = subprocess.run(
            [*command, "-c", "import django, psycopg, uvloop, redis.asyncio"],
            user=user, cwd="/", check=False, capture_output=True, env={"PATH": os.defpath},
        )  # fmt: skip
    except OSError:
        return False
    return tried.returncode == 0
