"""What the process environment must hold before the settings are read.

``prepare`` reads ``.env``, and where no database or broker is configured it points the
environment at the embedded stack, starting it when the command needs it.
"""

import os
from pathlib import Path

import environ


def prepare(base_dir: Path, *, start: bool) -> None:
    """Complete ``os.environ`` from ``.env`` and, where something is missing, the embedded stack.

    ``start`` says whether the embedded services must run; without it only their URLs are set.
    Variables that are already set always win.
    """
    environ.Env.read_env(base_dir / ".env", overwrite=False)
    data_dir = Path(os.environ.setdefault("DATA_DIR", str(base_dir / "var"))).expanduser()
    if not data_dir.is_absolute():
        data_dir = base_dir / data_dir
    os.environ["DATA_DIR"] = str(data_dir)

    embedded = "DATABASE_URL" not in os.environ
    if embedded:
        os.environ.setdefault("DEBUG", "1")
    if os.environ.get("DEBUG", "") not in ("", "0", "false", "False"):
        from tokenhub.stack import secrets

        secrets.ensure(data_dir, os.environ)
    if embedded or "REDIS_URL" not in os.environ:
        from tokenhub import stack

        stack.ensure(data_dir, os.environ, start=start)
