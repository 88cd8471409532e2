"""``python -m tokenhub.stack.keeper NAME DATA_DIR``: stops a server whose last user was killed."""

import sys
from pathlib import Path

from tokenhub.stack.postgres import EmbeddedPostgres
from tokenhub.stack.redis import EmbeddedRedis
from tokenhub.stack.service import EmbeddedService


def main(name: str, data_dir: Path) -> None:
    """Keep one service until nobody uses it."""
    services: dict[str, type[EmbeddedService]] = {
        service.name: service for service in (EmbeddedPostgres, EmbeddedRedis)
    }
    services[name](data_dir).keep()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
