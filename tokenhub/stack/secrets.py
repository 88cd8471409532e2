"""The secrets of a development installation: made once, kept in ``DATA_DIR/secrets.json``."""

import base64
import json
import os
import secrets
from collections.abc import MutableMapping
from pathlib import Path

from tokenhub.stack.locks import FileLock
from tokenhub.stack.processes import write_privately


def ensure(data_dir: Path, environ: MutableMapping[str, str]) -> None:
    """Set ``SECRET_KEY`` and ``FIELD_ENCRYPTION_KEYS``, where they are not set, to kept values."""
    missing = [name for name in _MAKERS if not environ.get(name)]
    if not missing:
        return
    data_dir.mkdir(parents=True, exist_ok=True)
    path = data_dir / "secrets.json"
    with FileLock(data_dir / "secrets.lock").held():
        kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        made = {name: _MAKERS[name]() for name in missing if name not in kept}
        if made:
            kept |= made
            write_privately(path, json.dumps(kept, indent=2) + "\n")
    environ.update({name: kept[name] for name in missing})


def _secret_key() -> str:
    return secrets.token_urlsafe(50)


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


_MAKERS = {"SECRET_KEY": _secret_key, "FIELD_ENCRYPTION_KEYS": _fernet_key}
