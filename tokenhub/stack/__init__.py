"""The embedded stack: a real PostgreSQL and Redis for ``make run``, ``manage.py`` and the tests."""

from collections.abc import MutableMapping
from pathlib import Path

from tokenhub.stack.postgres import EmbeddedPostgres
from tokenhub.stack.redis import EmbeddedRedis
from tokenhub.stack.service import EmbeddedService

SERVICES: dict[str, type[EmbeddedService]] = {
    "DATABASE_URL": EmbeddedPostgres,
    "REDIS_URL": EmbeddedRedis,
}


def ensure(data_dir: Path, environ: MutableMapping[str, str], *, start: bool = True) -> None:
    """Point ``environ`` at the embedded services, for those of its URLs that are not set.

    They run until the last process that asked for them ends. With ``start=False`` only the URLs
    are set: enough for a command that reads settings and connects to nothing.
    """
    for variable, service_type in SERVICES.items():
        if not environ.get(variable):
            service = service_type(data_dir)
            if start:
                service.start()
            environ[variable] = service.url
