"""`python -m service.migrate`, and what a service does that runs before it."""

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from conftest import DATABASE, ROLE_PASSWORD, StartService, postgres_settings, running_copy
from postgres_server import PostgresServer
from service.migrate import MigrationError, migrate
from service.schema import Migration, read_migrations
from service.settings import Settings
from service_process import APP, environment_of

ITEMS = read_migrations()
COLOURS = Migration(2, "0002_colours", b"CREATE TABLE colours (name text); INSERT INTO colours VALUES ('red');")


@pytest.fixture(scope="module")
def server(empty_postgres: PostgresServer, postgres_folder: Path) -> Iterator[PostgresServer]:
    with running_copy(empty_postgres, postgres_folder) as running:
        yield running


@pytest.fixture
def new_server(server: PostgresServer) -> PostgresServer:
    """Return a server whose database of the application is empty."""
    server.query(f"DROP DATABASE {DATABASE} WITH (FORCE)")
    server.query(f"CREATE DATABASE {DATABASE} OWNER shop")
    return server


@pytest.fixture
def settings(new_server: PostgresServer, tmp_path: Path) -> Settings:
    return _settings(new_server, tmp_path)


def _settings(server: PostgresServer, folder: Path, seconds: int = 20) -> Settings:
    return Settings.model_validate(postgres_settings(server, folder) | {"migrate_timeout_seconds": seconds})


def _tables(server: PostgresServer) -> list[tuple[str, str]]:
    return list(
        server.query(
            "SELECT tablename, tableowner FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename",
            database=DATABASE,
        )
    )


def _run(server: PostgresServer, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    login = {name.upper(): str(value) for name, value in postgres_settings(server, folder).items()}
    return subprocess.run(
        [sys.executable, "-m", "service.migrate"],
        cwd=APP,
        env=environment_of(login | environment),
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_an_empty_database_gets_the_schema_and_a_second_run_finds_nothing_to_do(
    new_server: PostgresServer, tmp_path: Path
) -> None:
    first, second = _run(new_server, tmp_path), _run(new_server, tmp_path)
    assert (first.returncode, first.stdout, first.stderr) == (0, "applied 0001_items\n", "")
    assert (second.returncode, second.stdout, second.stderr) == (0, "nothing to do: the schema is current\n", "")
    assert _tables(new_server) == [("items", "shop"), ("schema_migrations", "shop")]


def test_what_was_applied_is_remembered_with_its_time(new_server: PostgresServer, settings: Settings) -> None:
    migrate(settings, ITEMS)
    [(version, name, checksum, recent)] = new_server.query(
        "SELECT version, name, checksum, applied_at > now() - interval '1 minute' FROM schema_migrations",
        database=DATABASE,
    )
    assert (version, name, checksum, recent) == (1, "0001_items", ITEMS[0].checksum, True)


def test_only_what_is_missing_is_applied(new_server: PostgresServer, settings: Settings) -> None:
    migrate(settings, ITEMS)
    assert migrate(settings, [*ITEMS, COLOURS]) == "applied 0002_colours"
    assert new_server.query("SELECT name FROM colours", database=DATABASE) == [("red",)]


def test_two_at_once_take_turns_and_apply_everything_once(settings: Settings) -> None:
    slow = Migration(2, "0002_slow", b"SELECT pg_sleep(0.5); CREATE TABLE slow ();")
    with ThreadPoolExecutor(2) as threads:
        outcomes = list(threads.map(lambda _: migrate(settings, [*ITEMS, slow]), range(2)))
    assert sorted(outcomes) == ["applied 0001_items, 0002_slow", "nothing to do: the schema is current"]


def test_one_that_waits_too_long_for_its_turn_says_so(new_server: PostgresServer, tmp_path: Path) -> None:
    with psycopg.connect(new_server.conninfo(DATABASE), autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(7305524011)")
        started = time.monotonic()
        ended = _run(new_server, tmp_path, MIGRATE_TIMEOUT_SECONDS="2")
    assert ended.returncode == 1
    assert ended.stderr == "another migration is still at work: see what holds it up, then run this again\n"
    assert time.monotonic() - started < 10
    assert _tables(new_server) == []


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        (b"CREATE TABLE half (); SELECT no_such_column FROM items;", "no_such_column"),
        (b"CREATE TABLE half (); INSERT INTO schema_migrations VALUES (2, '', '');", "duplicate key"),
    ],
)
def test_a_migration_that_fails_leaves_nothing_of_it_and_those_before_it_stay(
    new_server: PostgresServer, settings: Settings, sql: bytes, reason: str
) -> None:
    broken = Migration(2, "0002_broken", sql)
    with pytest.raises(MigrationError, match=f"0002_broken failed, and nothing of it was kept: .*{reason}"):
        migrate(settings, [*ITEMS, broken])
    assert _tables(new_server) == [("items", "shop"), ("schema_migrations", "shop")]
    assert migrate(settings, [*ITEMS, COLOURS]) == "applied 0002_colours"


def test_a_migration_that_changed_after_it_was_applied_is_refused_before_anything_is_done(
    new_server: PostgresServer, settings: Settings
) -> None:
    migrate(settings, ITEMS)
    changed = Migration(1, "0001_items", ITEMS[0].sql + b"-- one more thought")
    with pytest.raises(MigrationError, match="0001_items has changed since it was applied"):
        migrate(settings, [changed, COLOURS])
    assert [table for table, _ in _tables(new_server)] == ["items", "schema_migrations"]


def test_a_database_of_a_newer_version_is_left_as_it_is(settings: Settings) -> None:
    migrate(settings, [*ITEMS, COLOURS])
    assert migrate(settings, ITEMS) == "nothing to do: the schema is current"


def test_a_database_that_comes_up_meanwhile_is_waited_for(new_server: PostgresServer, settings: Settings) -> None:
    new_server.stop()
    with ThreadPoolExecutor(1) as thread:
        outcome = thread.submit(migrate, settings, ITEMS)
        time.sleep(0.5)
        new_server.start()
        assert outcome.result() == "applied 0001_items"


def test_a_migration_whose_connection_breaks_begins_again(new_server: PostgresServer, settings: Settings) -> None:
    slow = Migration(1, "0001_slow", b"CREATE TABLE slow (); SELECT pg_sleep(1);")
    terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    with ThreadPoolExecutor(1) as thread:
        outcome = thread.submit(migrate, settings, [slow])
        deadline = time.monotonic() + 5
        while not new_server.query(terminate) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert outcome.result() == "applied 0001_slow"


def test_a_database_that_never_answers_ends_it_at_the_deadline_with_postgres_own_words(
    new_server: PostgresServer, tmp_path: Path
) -> None:
    (tmp_path / "wrong").write_text("not-the-password")
    ended = _run(new_server, tmp_path, MIGRATE_TIMEOUT_SECONDS="2", POSTGRES_PASSWORD_FILE=str(tmp_path / "wrong"))
    assert ended.returncode == 1
    assert "could not be migrated in 2 s" in ended.stderr
    assert 'password authentication failed for user "shop"' in ended.stderr
    for text in ("not-the-password", ROLE_PASSWORD):
        assert text not in ended.stdout + ended.stderr


def test_without_a_database_it_says_what_to_set() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "service.migrate"], cwd=APP, env=environment_of({}), capture_output=True, text=True
    )
    assert (ended.returncode, ended.stderr) == (1, "no database is configured: set POSTGRES_HOST\n")


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["1_items.sql"], "1_items.sql in migrations/ is not called like 0001_items.sql"),
        (["0001_a.sql", "0001_b.sql"], "0001_a and 0001_b have the same number"),
    ],
)
def test_files_that_have_no_order_are_refused(tmp_path: Path, names: list[str], problem: str) -> None:
    folder = tmp_path / "migrations"
    folder.mkdir()
    for name in names:
        (folder / name).touch()
    with pytest.raises(ValueError, match=problem):
        read_migrations(folder)


def test_a_pod_is_not_ready_until_the_schema_is_there_and_says_why(
    settings: Settings, start_service: StartService
) -> None:
    client = start_service(
        **settings.model_dump(include={name for name in Settings.model_fields if "postgres" in name})
    )
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {
        "status": "not ready",
        "redis": "up",
        "postgres": "up",
        "postgres_read": "up",
        "migrations": "behind",
    }
    assert client.get("/livez").status_code == 200
    assert client.post("/items", json={"name": "lamp"}).status_code == 503
    migrate(settings, ITEMS)
    assert client.get("/readyz").status_code == 200
    assert client.post("/items", json={"name": "lamp"}).status_code == 201


def test_a_pod_stays_ready_while_the_database_is_away(
    new_server: PostgresServer, settings: Settings, start_service: StartService
) -> None:
    migrate(settings, ITEMS)
    client = start_service(
        **settings.model_dump(include={name for name in Settings.model_fields if "postgres" in name})
    )
    assert client.get("/readyz").json()["migrations"] == "current"
    new_server.stop()
    answer = client.get("/readyz")
    new_server.start()
    assert answer.status_code == 200
    assert (answer.json()["postgres"], answer.json()["migrations"]) == ("down", "unknown")
