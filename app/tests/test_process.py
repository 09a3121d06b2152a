"""The service as the image starts it: its log, and its end."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from redis_server import RedisServer
from service_process import ServiceProcess, image_command, read_answer

TOKEN = "t0ken-that-nobody-may-see"
PASSWORD = "passw0rd-that-nobody-may-see"
VALUE = "value-that-is-nobody-elses-business"


@pytest.fixture
def service(redis_server: RedisServer, tmp_path: Path) -> Iterator[ServiceProcess]:
    """Yield a service in a process of its own, with a token and a password."""
    redis_server.stop()
    redis_server.start("--requirepass", PASSWORD)
    files = {"API_TOKEN_FILE": tmp_path / "token", "REDIS_PASSWORD_FILE": tmp_path / "password"}
    files["API_TOKEN_FILE"].write_text(TOKEN)
    files["REDIS_PASSWORD_FILE"].write_text(PASSWORD)
    environment = {name: str(path) for name, path in files.items()}
    environment |= {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(redis_server.port)}
    process = ServiceProcess(tmp_path / "service.log", environment)
    yield process
    process.stop()


def test_the_log_is_json_and_neither_it_nor_an_answer_holds_secrets_or_values(
    service: ServiceProcess, redis_server: RedisServer
) -> None:
    url = service.url
    answers = [
        httpx2.put(f"{url}/cache/k?ttl=30&note={VALUE}", content=VALUE),
        httpx2.put(f"{url}/cache/k?ttl={VALUE}", content=VALUE),
        httpx2.get(f"{url}/"),
        httpx2.get(f"{url}/readyz"),
        httpx2.get(f"{url}/metrics"),
    ]
    with redis_server.client(PASSWORD) as redis:
        redis.config_set("maxmemory", 1)
    answers.append(httpx2.put(f"{url}/cache/k", content=VALUE))
    assert [answer.status_code for answer in answers] == [204, 422, 200, 200, 200, 503]

    service.wait_for_log('"status": 503')
    lines = [json.loads(line) for line in service.log().splitlines()]
    requests = [line for line in lines if line["message"] == "request"]
    assert [(line["method"], line["path"], line["status"]) for line in requests] == [
        ("PUT", "/cache/k", 204),
        ("PUT", "/cache/k", 422),
        ("GET", "/", 200),
        ("PUT", "/cache/k", 503),
    ]  # probes and scrapes that go well are left out
    assert requests[0]["route"] == "/cache/{key}"
    assert requests[0]["ms"] > 0
    for hidden in (TOKEN, PASSWORD):
        assert hidden not in service.log() + "".join(answer.text for answer in answers)
    assert VALUE not in service.log()


def test_sigterm_lets_a_request_that_is_being_served_finish(service: ServiceProcess) -> None:
    with service.connect() as connection:
        connection.sendall(b"PUT /cache/slow HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nhalf")
        assert httpx2.get(f"{service.url}/livez").status_code == 200  # the server has read the half by now
        service.process.send_signal(signal.SIGTERM)
        _wait_until_refused(service)
        connection.sendall(b"half")
        status, _ = read_answer(connection)
    assert status == 204
    assert service.process.wait(timeout=5) in {0, -signal.SIGTERM}  # uvicorn ends by the signal that it was sent
    assert "Application shutdown complete" in service.log()


def test_a_connection_is_kept_longer_than_proxies_keep_theirs() -> None:
    command = image_command()
    assert int(command[command.index("--timeout-keep-alive") + 1]) > 60


def _wait_until_refused(service: ServiceProcess) -> None:
    for _ in range(250):
        try:
            service.connect().close()
        except ConnectionRefusedError:
            return
        time.sleep(0.02)
    raise AssertionError("the service still accepts connections 5 s after SIGTERM")
