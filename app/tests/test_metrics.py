import pytest
from conftest import StartService
from fastapi.testclient import TestClient
from postgres_server import PostgresServer
from prometheus_client.parser import text_string_to_metric_families
from redis_server import RedisServer


def _samples(client: TestClient) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = client.get("/metrics").text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _value(client: TestClient, name: str, **labels: str) -> float:
    return _samples(client)[name, tuple(sorted(labels.items()))]


def test_requests_are_counted_and_timed_by_route_template(client: TestClient) -> None:
    for key in ("a", "b"):
        client.put(f"/cache/{key}", content=b"x")
    assert _value(client, "http_requests_total", method="PUT", route="/cache/{key}", status="204") == 2
    assert _value(client, "http_request_duration_seconds_count", method="PUT", route="/cache/{key}") == 2


def test_hits_and_misses_are_counted(client: TestClient) -> None:
    client.put("/cache/here", content=b"x")
    for key in ("here", "here", "there"):
        client.get(f"/cache/{key}")
    assert _value(client, "cache_hits_total") == 2
    assert _value(client, "cache_misses_total") == 1
    assert _value(client, "cache_errors_total", operation="get") == 0


def test_an_outage_shows_as_errors_and_as_redis_down(client: TestClient, redis_server: RedisServer) -> None:
    client.get("/readyz")
    assert _value(client, "redis_up") == 1
    redis_server.stop()
    client.get("/cache/k")
    assert _value(client, "redis_up") == 0
    assert _value(client, "cache_errors_total", operation="get") == 1
    assert _value(client, "http_requests_total", method="GET", route="/cache/{key}", status="503") == 1
    redis_server.start()
    client.get("/readyz")
    assert _value(client, "redis_up") == 1


def test_a_refusal_is_an_error_but_no_outage(client: TestClient, redis_server: RedisServer) -> None:
    client.get("/readyz")
    with redis_server.client() as redis:
        redis.replicaof("127.0.0.1", "1")  # a primary that does not exist: writes get READONLY
    assert client.put("/cache/k", content=b"x").status_code == 503
    assert _value(client, "cache_errors_total", operation="put") == 1
    assert _value(client, "redis_up") == 1


def test_items_are_counted_by_where_they_came_from(items_client: TestClient) -> None:
    for _ in range(2):
        items_client.post("/items", json={"name": "lamp"})
    for item in (1, 1, 1, 2, 3):
        items_client.get(f"/items/{item}")
    assert _value(items_client, "items_created_total") == 2
    assert _value(items_client, "items_read_total", source="database") == 2
    assert _value(items_client, "items_read_total", source="cache") == 2
    assert _value(items_client, "postgres_up", way="primary") == 1
    assert _value(items_client, "postgres_pool_size", way="primary") == 1
    assert _value(items_client, "postgres_pool_waiting", way="primary") == 0


def test_an_outage_of_the_database_shows_as_errors_and_as_postgres_down(
    start_service: StartService, database_settings: dict[str, object], postgres_server: PostgresServer
) -> None:
    client = start_service(**database_settings)
    client.get("/items")
    postgres_server.stop()
    client.get("/items")
    assert _value(client, "postgres_up", way="primary") == 0
    assert _value(client, "postgres_errors_total", operation="list") == 1
    assert _value(client, "postgres_errors_total", operation="insert") == 0
    postgres_server.start()
    client.get("/readyz")
    assert _value(client, "postgres_up", way="primary") == 1


def test_without_a_database_there_is_no_postgres_that_could_be_down(client: TestClient) -> None:
    assert not [name for name, _ in _samples(client) if name == "postgres_up"]


def test_what_clients_make_up_adds_no_series(client: TestClient) -> None:
    client.get("/metrics")  # the first scrape has not seen itself
    for n in range(5):
        client.get(f"/no/such/path/{n}")
        client.request(f"VERB{n}", "/cache/k")
        client.get(f"/cache/key-{n}")
    routes = {dict(labels).get("route") for _, labels in _samples(client)}
    methods = {dict(labels).get("method") for _, labels in _samples(client)}
    assert routes == {None, "/metrics", "/cache/{key}", "unmatched"}
    assert methods == {None, "GET", "OTHER"}


def test_a_request_that_fails_unexpectedly_is_counted_as_500(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.routes.info._has_secret", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        client.get("/")
    assert _value(client, "http_requests_total", method="GET", route="/", status="500") == 1


def test_memory_and_cpu_of_the_process_are_there(client: TestClient) -> None:
    assert _value(client, "process_resident_memory_bytes") > 0
    assert _value(client, "process_cpu_seconds_total") > 0
