"""Fixtures: a Redis server and the service, in this process or in one of its own."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from fastapi.testclient import TestClient
from redis_server import RedisServer
from service.main import create_app
from service.settings import Settings
from service_process import ServiceProcess

MAX_TTL = 600
MAX_VALUE_BYTES = 4096
LIMITS = {"cache_max_ttl": MAX_TTL, "cache_default_ttl": 60, "cache_max_value_bytes": MAX_VALUE_BYTES}
TOKEN = "t0ken-that-nobody-may-see"
PASSWORD = "passw0rd-that-nobody-may-see"

StartService = Callable[..., TestClient]


@pytest.fixture(scope="session", autouse=True)
def _redis_server_program() -> None:
    if shutil.which("redis-server") is None:
        reason = "redis-server is not on PATH: install Debian's package redis-server"
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
def running_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """Yield a service in a process of its own, on a Redis of its own, shared by tests that leave both as they are."""
    folder = tmp_path_factory.mktemp("service")
    (folder / "token").write_text(TOKEN)
    (folder / "password").write_text(PASSWORD)
    environment = {name.upper(): str(value) for name, value in LIMITS.items()}
    environment |= {"API_TOKEN_FILE": str(folder / "token"), "REDIS_PASSWORD_FILE": str(folder / "password")}
    server = RedisServer(folder)
    with ExitStack() as stack:
        stack.callback(server.stop)
        server.start("--requirepass", PASSWORD)
        environment |= {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(server.port)}
        service = ServiceProcess(folder / "service.log", environment)
        stack.callback(service.stop)
        yield service
