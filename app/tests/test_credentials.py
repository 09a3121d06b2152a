import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from redis_server import RedisServer

OLD = "correct-horse-1"
NEW = "battery-staple-2"

StartService = Callable[..., TestClient]


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(OLD + "\n")
    return path


@pytest.fixture
def client(redis_server: RedisServer, start_service: StartService, password_file: Path) -> TestClient:
    """Return a client of a service that reads `password_file`, on a server that asks for its first content."""
    redis_server.stop()
    redis_server.start("--requirepass", OLD)
    return start_service(redis_password_file=password_file)


def _rotate_on_server(redis_server: RedisServer) -> None:
    with redis_server.client(OLD) as redis:
        redis.config_set("requirepass", NEW)
        redis.client_kill_filter(_type="normal", skipme=True)


def test_the_password_of_the_file_is_used_without_its_line_break(client: TestClient) -> None:
    assert client.put("/cache/k", content=b"x").status_code == 204


def test_a_rotated_password_needs_no_restart(
    client: TestClient, redis_server: RedisServer, password_file: Path
) -> None:
    client.put("/cache/k", content=b"x")
    password_file.write_text(NEW)
    _rotate_on_server(redis_server)
    assert client.get("/cache/k").content == b"x"


def test_a_password_that_changed_on_the_server_first_gives_503_until_the_file_follows(
    client: TestClient, redis_server: RedisServer, password_file: Path
) -> None:
    _rotate_on_server(redis_server)
    assert client.get("/cache/k").status_code == 503
    password_file.write_text(NEW)
    assert client.get("/cache/k").status_code == 404


@pytest.mark.parametrize(
    "damage", [Path.unlink, lambda path: path.write_text(""), lambda path: path.write_bytes(b"\xff")]
)
def test_a_password_file_that_went_bad_gives_503_until_it_is_good_again(
    client: TestClient, password_file: Path, damage: Callable[[Path], object]
) -> None:
    damage(password_file)
    assert client.get("/cache/k").status_code == 503
    password_file.write_text(OLD)
    assert client.get("/cache/k").status_code == 404


def test_a_redis_that_asks_for_a_password_that_nobody_set_gives_503(
    redis_server: RedisServer, start_service: StartService
) -> None:
    redis_server.stop()
    redis_server.start("--requirepass", OLD)
    assert start_service().get("/cache/k").status_code == 503


def test_a_refused_password_is_neither_answered_nor_logged(
    client: TestClient, password_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    password_file.write_text("not-the-password")
    answer = client.get("/cache/k")
    assert answer.status_code == 503
    assert "not-the-password" not in answer.text
    records = [str(vars(record)) for record in caplog.records]
    assert any("AuthenticationError" in record for record in records)
    assert not any("not-the-password" in record for record in records)
