"""Bring the database's schema up to what this code needs: `python -m service.migrate`.

It ends with one line and 0, or 1 if the schema is not there in MIGRATE_TIMEOUT_SECONDS. Any number may run at a time:
they take turns, and those that come later find nothing to do.
"""

import sys
import time
from collections.abc import Sequence
from typing import LiteralString

import psycopg

from service.postgres import CredentialsError, primary_conninfo
from service.schema import Migration, read_migrations
from service.settings import Settings, SettingsError, load_settings

RETRY_SECONDS = 1.0
# The comment keeps a balancing pooler from asking a standby, where the lock would be another one and the table old.
IS_STANDBY = "/*NO LOAD BALANCE*/ SELECT pg_is_in_recovery()"
TRY_LOCK = "/*NO LOAD BALANCE*/ SELECT pg_try_advisory_lock(7305524011)"  # any number would do, as long as it stays
APPLIED = "/*NO LOAD BALANCE*/ SELECT version, checksum FROM schema_migrations"


class MigrationError(Exception):
    """The schema could not be brought up to date; its text is one sentence for whoever runs this."""


def migrate(settings: Settings, migrations: Sequence[Migration]) -> str:
    """Apply the migrations that the database does not have, each in a transaction, and return the outcome.

    Raises:
        MigrationError: the database cannot be reached in time, a migration failed, or one that was applied has changed.

    """
    deadline = time.monotonic() + settings.migrate_timeout_seconds
    while True:
        try:
            with psycopg.connect(primary_conninfo(settings), autocommit=True, prepare_threshold=None) as connection:
                _take_turn(connection, deadline)
                return _apply(connection, migrations)
        except (psycopg.OperationalError, psycopg.InternalError, CredentialsError) as error:
            # Lost or not there yet. What was committed is in the table, so to begin again is safe.
            if time.monotonic() + RETRY_SECONDS > deadline:
                raise MigrationError(
                    f"the database could not be migrated in {settings.migrate_timeout_seconds} s: {_first_line(error)}"
                ) from error
            print(f"trying again: {_first_line(error)}", flush=True)
            time.sleep(RETRY_SECONDS)


def _take_turn(connection: psycopg.Connection, deadline: float) -> None:
    """Return once this session has the lock, which ends with it."""
    if _value(connection, IS_STANDBY):
        raise psycopg.OperationalError("the server is a standby")
    while not _value(connection, TRY_LOCK):
        if time.monotonic() + RETRY_SECONDS > deadline:
            raise MigrationError("another migration is still at work: see what holds it up, then run this again")
        time.sleep(RETRY_SECONDS)


def _apply(connection: psycopg.Connection, migrations: Sequence[Migration]) -> str:
    connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_migrations ("
        "version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,"
        " applied_at timestamptz NOT NULL DEFAULT now())"
    )
    applied: dict[int, str] = dict(connection.execute(APPLIED).fetchall())
    for migration in migrations:
        if applied.get(migration.version, migration.checksum) != migration.checksum:
            raise MigrationError(
                f"{migration.name} has changed since it was applied: restore it, and add a migration for the change"
            )
    missing = [migration for migration in migrations if migration.version not in applied]
    for migration in missing:
        _apply_one(connection, migration)
    return f"applied {', '.join(step.name for step in missing)}" if missing else "nothing to do: the schema is current"


def _apply_one(connection: psycopg.Connection, migration: Migration) -> None:
    try:
        with connection.transaction():
            connection.execute(migration.sql)
            connection.execute(
                "INSERT INTO schema_migrations (version, name, checksum) VALUES (%s, %s, %s)",
                [migration.version, migration.name, migration.checksum],
            )
    except psycopg.Error as error:
        if isinstance(error, psycopg.OperationalError | psycopg.InternalError):
            raise
        raise MigrationError(f"{migration.name} failed, and nothing of it was kept: {_first_line(error)}") from error


def _value(connection: psycopg.Connection, query: LiteralString) -> object:
    [value] = connection.execute(query).fetchone() or [None]
    return value


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def main() -> int:
    """Migrate the database of the environment's settings, and return the exit status."""
    try:
        settings = load_settings()
        if settings.postgres_host is None:
            raise MigrationError("no database is configured: set POSTGRES_HOST")
        print(migrate(settings, read_migrations()), flush=True)
    except (SettingsError, MigrationError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
