"""Fixtures: servers of Redis and PostgreSQL, and the service, in this process or in one of its own."""

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from postgres_server import PostgresServer, bin_folder, give_away
from redis_server import RedisServer
from service.main import create_app
from service.migrate import migrate
from service.schema import read_migrations
from service.settings import Settings
from service_process import ServiceProcess

MAX_TTL = 600
MAX_VALUE_BYTES = 4096
LIMITS = {"cache_max_ttl": MAX_TTL, "cache_default_ttl": 60, "cache_max_value_bytes": MAX_VALUE_BYTES}
TOKEN = "t0ken-that-nobody-may-see"
PASSWORD = "passw0rd-that-nobody-may-see"
ROLE = "shop"
ROLE_PASSWORD = "r0le-passw0rd-that-nobody-may-see"
DATABASE = "shop"

StartService = Callable[..., TestClient]


@pytest.fixture(scope="session", autouse=True)
def _server_programs() -> None:
    packages = {"redis-server": shutil.which("redis-server"), "postgresql": bin_folder()}
    missing = [package for package, program in packages.items() if program is None]
    if missing:
        reason = f"a server is not there: install Debian's package {' '.join(missing)}"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Yield a running, empty server."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres_folder() -> Iterator[Path]:
    """Yield a folder that the account of PostgreSQL can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="service-postgres-") as folder:
        give_away(Path(folder))
        yield Path(folder)


@pytest.fixture(scope="session")
def empty_postgres(postgres_folder: Path) -> PostgresServer:
    """Return a stopped server with the application's role and an empty database of its own, for `copy_of`."""
    server = PostgresServer(postgres_folder / "empty")
    server.create()
    server.start()
    server.query(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{ROLE_PASSWORD}'")
    server.query(f"CREATE DATABASE {DATABASE} OWNER {ROLE}")
    server.stop(signal.SIGINT)
    return server


@pytest.fixture(scope="session")
def migrated_postgres(
    empty_postgres: PostgresServer, postgres_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> PostgresServer:
    """Return a stopped server with the schema that the code needs, for `copy_of`."""
    server = PostgresServer(postgres_folder / "migrated")
    server.copy_of(empty_postgres)
    server.start()
    settings = postgres_settings(server, tmp_path_factory.mktemp("login"))
    migrate(Settings.model_validate(settings), read_migrations())
    server.stop(signal.SIGINT)
    return server


@pytest.fixture(scope="session")
def shared_postgres(migrated_postgres: PostgresServer, postgres_folder: Path) -> Iterator[PostgresServer]:
    """Yield a running server for tests that only add items."""
    with running_copy(migrated_postgres, postgres_folder) as server:
        yield server


@pytest.fixture
def postgres_server(shared_postgres: PostgresServer) -> Iterator[PostgresServer]:
    """Yield a running server without items, for tests that stop or change it: it is put right after each."""
    _forget_items(shared_postgres)
    yield shared_postgres
    shared_postgres.stop()
    (shared_postgres.data / "postgresql.auto.conf").write_text("")
    shared_postgres.start()


def _forget_items(server: PostgresServer) -> None:
    server.query("TRUNCATE items RESTART IDENTITY", database=DATABASE)


@contextmanager
def running_copy(template: PostgresServer, folder: Path) -> Generator[PostgresServer]:
    """Yield a running server with the data of one that is stopped."""
    server = PostgresServer(Path(tempfile.mkdtemp(dir=folder)) / "data")
    give_away(server.data.parent)
    server.copy_of(template)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(server.data.parent)


def postgres_settings(server: PostgresServer, folder: Path) -> dict[str, object]:
    """Return settings for the application's role and database; the files of its login are in `folder`."""
    (folder / "username").write_text(f"{ROLE}\n")
    (folder / "password").write_text(f"{ROLE_PASSWORD}\n")
    return {
        "postgres_host": "127.0.0.1",
        "postgres_port": server.port,
        "postgres_database": DATABASE,
        "postgres_username_file": folder / "username",
        "postgres_password_file": folder / "password",
        "postgres_pool_size": 4,
    }


@pytest.fixture
def database_settings(postgres_server: PostgresServer, tmp_path: Path) -> dict[str, object]:
    """Return settings for `postgres_server`."""
    return postgres_settings(postgres_server, tmp_path)


@pytest.fixture
def items_client(start_service: StartService, shared_postgres: PostgresServer, tmp_path: Path) -> TestClient:
    """Return a client of a service on `redis_server` and `shared_postgres`, without items."""
    _forget_items(shared_postgres)
    return start_service(**postgres_settings(shared_postgres, tmp_path))


@pytest.fixture
def start_service(redis_server: RedisServer) -> Iterator[StartService]:
    """Yield a function that starts the service in this process, with the settings given to it, on `redis_server`."""
    with ExitStack() as stack:

        def start(**settings: object) -> TestClient:
            known = {"redis_host": "127.0.0.1", "redis_port": redis_server.port, **LIMITS}
            return stack.enter_context(TestClient(create_app(Settings.model_validate(known | settings))))

        yield start


@pytest.fixture
def client(start_service: StartService) -> TestClient:
    """Return a client of a service on `redis_server`."""
    return start_service()


@pytest.fixture(scope="session")
def running_service(
    tmp_path_factory: pytest.TempPathFactory, migrated_postgres: PostgresServer, postgres_folder: Path
) -> Iterator[ServiceProcess]:
    """Yield a service in a process of its own, on servers of its own, shared by tests that leave all as they are."""
    folder = tmp_path_factory.mktemp("service")
    (folder / "token").write_text(TOKEN)
    (folder / "password").write_text(PASSWORD)
    environment = {name.upper(): str(value) for name, value in LIMITS.items()}
    environment |= {"API_TOKEN_FILE": str(folder / "token"), "REDIS_PASSWORD_FILE": str(folder / "password")}
    server = RedisServer(folder)
    (folder / "login").mkdir()
    with ExitStack() as stack:
        stack.callback(server.stop)
        server.start("--requirepass", PASSWORD)
        environment |= {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(server.port)}
        postgres = stack.enter_context(running_copy(migrated_postgres, postgres_folder))
        login = postgres_settings(postgres, folder / "login")
        environment |= {name.upper(): str(value) for name, value in login.items()}
        service = ServiceProcess(folder / "service.log", environment)
        stack.callback(service.stop)
        yield service
