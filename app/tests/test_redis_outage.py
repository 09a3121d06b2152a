import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from redis_server import RedisServer
from service.cache import MAX_CONNECTIONS, OPERATION_BUDGET

NOWHERE = ("127.0.0.1", "1")  # a primary that does not exist: its replica refuses writes with READONLY
MARGIN = 1.0  # seconds that a busy machine may add to a time limit


def _fill_pool(client: TestClient, redis_server: RedisServer, connections: int) -> None:
    """Make the service hold several connections, by as many requests at once."""
    with redis_server.client() as redis, ThreadPoolExecutor(connections) as threads:
        redis.client_pause(200)
        list(threads.map(client.get, [f"/cache/fill-{n}" for n in range(connections)]))


def _seconds(request: Callable[[], Response]) -> tuple[Response, float]:
    started = time.monotonic()
    answer = request()
    return answer, time.monotonic() - started


def test_cached_routes_answer_503_while_redis_is_stopped_and_recover_with_it(
    client: TestClient, redis_server: RedisServer
) -> None:
    assert client.put("/cache/k", content=b"before").status_code == 204
    redis_server.stop()
    for method in ("GET", "PUT", "DELETE"):
        answer, seconds = _seconds(lambda method=method: client.request(method, "/cache/k"))
        assert answer.status_code == 503
        assert answer.json() == {"detail": "Redis is unavailable. Please try again."}
        assert int(answer.headers["retry-after"]) >= 1
        assert seconds < OPERATION_BUDGET + MARGIN
    redis_server.start()
    assert client.put("/cache/k", content=b"after").status_code == 204
    assert client.get("/cache/k").content == b"after"


def test_everything_else_answers_while_redis_is_stopped(client: TestClient, redis_server: RedisServer) -> None:
    assert client.get("/readyz").json()["redis"] == "up"
    redis_server.stop()
    assert client.get("/livez").status_code == 200
    assert client.get("/").status_code == 200
    assert client.get("/metrics").status_code == 200
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    assert answer.json()["redis"] == "down"
    redis_server.start()
    assert client.get("/readyz").json()["redis"] == "up"


def test_a_service_that_starts_before_redis_uses_it_once_it_is_there(
    redis_server: RedisServer, start_service: Callable[[], TestClient]
) -> None:
    redis_server.stop()
    client = start_service()
    assert client.get("/cache/k").status_code == 503
    redis_server.start()
    assert client.get("/cache/k").status_code == 404


def test_a_redis_that_accepts_but_never_answers_holds_up_requests_for_a_bounded_time(
    client: TestClient, redis_server: RedisServer
) -> None:
    client.put("/cache/k", content=b"x")
    redis_server.pause()
    answer, seconds = _seconds(lambda: client.get("/cache/k"))
    ready, ready_seconds = _seconds(lambda: client.get("/readyz"))
    live, live_seconds = _seconds(lambda: client.get("/livez"))
    redis_server.resume()
    assert answer.status_code == 503
    assert seconds < OPERATION_BUDGET + MARGIN
    assert ready.json()["redis"] == "down"
    assert ready_seconds < 1  # a probe's default time-out
    assert live.status_code == 200
    assert live_seconds < MARGIN
    assert client.get("/cache/k").content == b"x"


def test_a_read_only_redis_gives_503_for_writes_until_it_takes_them_again(
    client: TestClient, redis_server: RedisServer
) -> None:
    client.put("/cache/k", content=b"old")
    with redis_server.client() as redis:
        redis.replicaof(*NOWHERE)
        assert client.put("/cache/k", content=b"new").status_code == 503
        assert client.get("/cache/k").content == b"old"
        redis.replicaof("NO", "ONE")
    assert client.put("/cache/k", content=b"new").status_code == 204


def test_a_write_that_meets_a_demoted_primary_is_done_on_the_new_one_at_once(
    client: TestClient, redis_server: RedisServer, tmp_path: Path
) -> None:
    """The old primary lives on with the connections that it has; the address leads to the new one from now on."""
    _fill_pool(client, redis_server, 4)
    successor = RedisServer(tmp_path)
    successor.port = redis_server.port
    with redis_server.client() as old:
        old.config_set("port", 0)
        old.replicaof(*NOWHERE)
        successor.start()
        try:
            assert client.put("/cache/k", content=b"x").status_code == 204
            assert client.get("/cache/k").content == b"x"
            with successor.client() as new:
                assert new.get("cache:k") == "x"
        finally:
            successor.stop()


def test_connections_that_the_server_closed_are_not_seen_by_the_next_request(
    client: TestClient, redis_server: RedisServer
) -> None:
    client.put("/cache/k", content=b"x")
    with redis_server.client() as redis:
        redis.client_kill_filter(_type="normal", skipme=True)
    assert client.get("/cache/k").status_code == 200


def test_a_redis_without_memory_left_gives_503_for_writes(client: TestClient, redis_server: RedisServer) -> None:
    with redis_server.client() as redis:
        redis.config_set("maxmemory", 1)
        redis.config_set("maxmemory-policy", "noeviction")
    assert client.put("/cache/k", content=b"x").status_code == 503
    assert client.get("/cache/k").status_code == 404


def test_a_burst_above_the_pool_size_waits_instead_of_failing(client: TestClient, redis_server: RedisServer) -> None:
    burst = MAX_CONNECTIONS + 30
    with redis_server.client() as redis, ThreadPoolExecutor(burst) as threads:
        redis.client_pause(300)
        answers = list(threads.map(client.get, ["/cache/k"] * burst))
        connected = redis.info("clients")["connected_clients"]
    assert {answer.status_code for answer in answers} == {404}
    assert connected <= MAX_CONNECTIONS + 1


def test_an_outage_is_logged_once_and_so_is_its_end(
    client: TestClient, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="service.cache")
    redis_server.stop()
    for _ in range(3):
        client.get("/cache/k")
    redis_server.start()
    for _ in range(3):
        client.get("/cache/k")
    assert [record.getMessage() for record in caplog.records if record.name == "service.cache"] == [
        "Redis is down",
        "Redis is up again",
    ]


def test_an_error_of_redis_that_quotes_the_value_is_not_logged(
    client: TestClient, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    redis_server.stop()
    redis_server.start("--rename-command", "SET", "")  # "unknown command 'SET', with args beginning with: ..."
    answer = client.put("/cache/k", content=b"nobody-elses-business")
    assert answer.status_code == 503
    records = [str(vars(record)) for record in caplog.records]
    assert any("ResponseError" in record for record in records)
    assert not any("nobody-elses-business" in record for record in records)
