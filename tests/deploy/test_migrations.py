"""A migration after a release works for the version before it, and locks nothing that a request waits for.

docs/operations.md has the rule and how to keep it. The linter knows the operations that break it.
"""

from pathlib import Path

import pytest
from django.apps import apps
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.migration import Migration
from django_migration_linter import MigrationLinter
from django_migration_linter.sql_analyser import analyse_sql_statements, get_sql_analyser_class

from tests.processes import BASE_DIR

# Outside of a transaction, as what is made concurrently wants it.
pytestmark = pytest.mark.usefixtures("committed")

# The last migration of the latest release (0.1.0), app by app: what is up to there runs before anybody is served.
# To be raised with each release, and never otherwise.
RELEASED = {
    "accounts": 6, "billing": 18, "keys": 5, "routing": 5, "web": 4, "webhooks": 1, "operations": 1, "api": 1,
}  # fmt: skip
# Right all the same, each with its reason.
IGNORED: dict[str, str] = {
    "billing.0023_instructions": "The indexes are of a table that is new and empty, which the version before does not know.",
    "routing.0006_catalogue_version": "The table that is NOT NULL is new, and the version before does not know it; the"
    " function that is replaced still tells what it told.",
}


def new_migrations() -> list[Migration]:
    """Those that will run while the version before them serves."""
    loader = MigrationLoader(None)
    ours = set(RELEASED)
    return [
        migration
        for (app, name), migration in sorted(loader.disk_migrations.items())
        if app in ours and int(name[:4]) > RELEASED[app]
    ]


def linter() -> MigrationLinter:
    return MigrationLinter(no_cache=True, no_output=True, all_warnings_as_errors=True)


def test_every_app_of_ours_is_known() -> None:
    ours = {
        config.label
        for config in apps.get_app_configs()
        if Path(config.path).is_relative_to(BASE_DIR) and (Path(config.path) / "migrations").is_dir()
        and not Path(config.path).is_relative_to(BASE_DIR / ".venv")
    }  # fmt: skip

    assert ours == set(RELEASED)


def test_a_new_migration_harms_nobody_who_is_being_served() -> None:
    found = linter()

    wrong = []
    for migration in new_migrations():
        name = f"{migration.app_label}.{migration.name}"
        before = found.nb_erroneous
        found.lint_migration(migration)
        if found.nb_erroneous > before and name not in IGNORED:
            wrong.append(name)

    assert wrong == []


def test_what_is_ignored_exists_and_has_a_reason() -> None:
    names = {f"{migration.app_label}.{migration.name}" for migration in new_migrations()}

    assert set(IGNORED) <= names
    assert all(len(reason) > 20 for reason in IGNORED.values())


@pytest.mark.parametrize(
    ("sql", "refused"),
    [
        ('ALTER TABLE "a" DROP COLUMN "b" CASCADE;', True),
        ('ALTER TABLE "a" RENAME COLUMN "b" TO "c";', True),
        ('ALTER TABLE "a" RENAME TO "c";', True),
        ('ALTER TABLE "a" ALTER COLUMN "b" TYPE bigint;', True),
        ('ALTER TABLE "a" ADD COLUMN "b" integer NOT NULL;', True),
        ('DROP TABLE "a" CASCADE;', True),
        ('CREATE INDEX "i" ON "a" ("b");', True),
        ('CREATE INDEX CONCURRENTLY "i" ON "a" ("b");', False),
        ('ALTER TABLE "a" ADD COLUMN "b" integer NULL;', False),
        ('CREATE TABLE "a" ("b" integer NOT NULL);', False),
    ],
)
def test_the_linter_knows_what_breaks_the_rule(sql: str, refused: bool) -> None:
    analyser = get_sql_analyser_class(connection.vendor)
    errors, _, warnings = analyse_sql_statements(analyser, [sql])

    assert bool(errors or warnings) == refused
