"""The service as the image starts it: its log, and its end."""

import json
import signal
import time
from pathlib import Path

import httpx2
from conftest import PASSWORD, ROLE_PASSWORD, TOKEN
from redis_server import RedisServer
from service_process import ServiceProcess, image_command, read_answer

VALUE = "value-that-is-nobody-elses-business"


def test_the_log_is_json_and_neither_it_nor_an_answer_holds_secrets_or_values(running_service: ServiceProcess) -> None:
    url = running_service.url
    answers = [
        httpx2.put(f"{url}/cache/logged?ttl=30&note={VALUE}", content=VALUE),
        httpx2.put(f"{url}/cache/logged?ttl={VALUE}", content=VALUE),
        httpx2.get(f"{url}/"),
        httpx2.get(f"{url}/readyz"),
        httpx2.get(f"{url}/metrics"),
        httpx2.post(f"{url}/items", json={"name": VALUE}),
        httpx2.post(f"{url}/items", json={"name": VALUE, "price": VALUE}),
        httpx2.delete(f"{url}/cache/logged"),
    ]
    assert [answer.status_code for answer in answers] == [204, 422, 200, 200, 200, 201, 422, 204]

    running_service.wait_for_log('"method": "DELETE", "path": "/cache/logged"')
    lines = [json.loads(line) for line in running_service.log().splitlines()]
    logged = [line for line in lines if line.get("path") == "/cache/logged"]
    assert [(line["method"], line["route"], line["status"]) for line in logged] == [
        ("PUT", "/cache/{key}", 204),
        ("PUT", "/cache/{key}", 422),
        ("DELETE", "/cache/{key}", 204),
    ]
    assert all(line["ms"] > 0 for line in logged)
    for secret in (TOKEN, PASSWORD, ROLE_PASSWORD):
        assert secret not in running_service.log() + "".join(answer.text for answer in answers)
    assert VALUE not in running_service.log()


def test_probes_and_scrapes_are_logged_only_when_they_fail(running_service: ServiceProcess) -> None:
    for path in ("/livez", "/readyz", "/metrics"):
        assert httpx2.get(running_service.url + path).status_code == 200
        assert httpx2.post(running_service.url + path).status_code == 405
    running_service.wait_for_log('"method": "POST", "path": "/metrics"')
    lines = [json.loads(line) for line in running_service.log().splitlines()]
    probes = [line for line in lines if line.get("route") in {"/livez", "/readyz", "/metrics"}]
    assert min(line["status"] for line in probes) == 405


def test_sigterm_lets_a_request_that_is_being_served_finish(redis_server: RedisServer, tmp_path: Path) -> None:
    environment = {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(redis_server.port)}
    service = ServiceProcess(tmp_path / "service.log", environment)
    try:
        _end_within_a_request(service)
    finally:
        service.stop()


def _end_within_a_request(service: ServiceProcess) -> None:
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
