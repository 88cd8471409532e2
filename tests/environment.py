"""The suite's own PostgreSQL and Redis, started before Django reads its settings.

Loaded by ``-p tests.environment``. The first process starts them in a throw-away folder; the
parallel workers inherit their addresses.
"""

import atexit
import base64
import os
import shutil
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

STACK_DIR = "TOKENHUB_TEST_STACK"


def _start() -> None:
    folder = Path(tempfile.mkdtemp(prefix="tokenhub-tests-"))
    folder.chmod(0o711)  # the database's account must be able to pass through
    os.environ[STACK_DIR] = str(folder)
    for name in ("DATABASE_URL", "REDIS_URL", "EMAIL_URL", "PUBLIC_URL"):
        os.environ.pop(name, None)
    os.environ |= {
        "DEBUG": "1",
        "SECRET_KEY": "tests-only-" + "x" * 50,
        "FIELD_ENCRYPTION_KEYS": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        "DATA_DIR": str(folder / "data"),
        "LOG_LEVEL": "WARNING",
        "TOKENHUB_DATABASE_POOL": "0",
        # Nobody listens there; the fixture `stripe` says where somebody does.
        "STRIPE_SECRET_KEY": "sk_test_suite",
        "STRIPE_WEBHOOK_SECRET": "whsec_suite",
        "STRIPE_API_BASE": "http://127.0.0.1:9",
    }
    from tokenhub import stack

    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    stack.ensure(folder, os.environ)


def _own_redis(worker: str) -> None:
    """One of Redis's databases for each parallel worker: what one counts of an address limits no other."""
    url = urlsplit(os.environ["REDIS_URL"])
    os.environ["REDIS_URL"] = url._replace(path=f"/{int(worker.removeprefix('gw')) + 1}").geturl()


if STACK_DIR not in os.environ:
    _start()
elif worker := os.environ.get("PYTEST_XDIST_WORKER"):
    _own_redis(worker)
