import time
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from postgres_server import PostgresServer
from redis_server import RedisServer
from service.routes.items import CACHE_BUDGET

StartService = Callable[..., TestClient]


def _create(client: TestClient, name: str = "lamp", **fields: object) -> dict[str, object]:
    answer = client.post("/items", json={"name": name, **fields})
    assert answer.status_code == 201
    return answer.json()


def test_an_item_comes_back_as_it_was_stored(items_client: TestClient) -> None:
    answer = items_client.post("/items", json={"name": "Lampe — 灯", "description": "2 x E27, 'quoted'; --"})
    item = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/items/{item['id']}"
    assert (item["name"], item["description"]) == ("Lampe — 灯", "2 x E27, 'quoted'; --")
    assert items_client.get(answer.headers["location"]).json() == item


def test_a_description_may_be_left_out(items_client: TestClient) -> None:
    assert _create(items_client)["description"] is None


@pytest.mark.parametrize(
    ("body", "location"),
    [
        ({}, ["body", "name"]),
        ({"name": ""}, ["body", "name"]),
        ({"name": "x" * 201}, ["body", "name"]),
        ({"name": "a\x00b"}, ["body", "name"]),
        ({"name": 5}, ["body", "name"]),
        ({"name": "a", "description": "x" * 2001}, ["body", "description"]),
        ({"name": "a", "description": "\x00"}, ["body", "description"]),
        ({"name": "a", "price": 1}, ["body", "price"]),
    ],
)
def test_an_item_that_is_not_as_it_should_be_is_refused_and_not_stored(
    items_client: TestClient, body: dict[str, object], location: list[str]
) -> None:
    answer = items_client.post("/items", json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == location
    assert items_client.get("/items").json()["items"] == []


def test_the_longest_texts_are_stored(items_client: TestClient) -> None:
    item = _create(items_client, "灯" * 200, description="灯" * 2000)
    assert items_client.get(f"/items/{item['id']}").json() == item


def test_pages_show_every_item_once_the_newest_first(items_client: TestClient) -> None:
    for n in range(5):
        _create(items_client, f"item {n}")
    names, before = [], {}
    while True:
        page = items_client.get("/items", params={"limit": 2, **before}).json()
        names.append([item["name"] for item in page["items"]])
        if page["next_before"] is None:
            break
        before = {"before": page["next_before"]}
        _create(items_client, "added meanwhile")
    assert names == [["item 4", "item 3"], ["item 2", "item 1"], ["item 0"]]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "before=0", "before=9223372036854775808", "limit=x"])
def test_a_page_out_of_bounds_is_refused(items_client: TestClient, query: str) -> None:
    assert items_client.get(f"/items?{query}").status_code == 422


@pytest.mark.parametrize("item_id", ["0", "-1", "x", "9223372036854775808"])
def test_a_number_that_no_item_can_have_is_refused(items_client: TestClient, item_id: str) -> None:
    assert items_client.get(f"/items/{item_id}").status_code == 422


def test_an_item_is_read_from_the_database_once_and_then_from_the_cache(
    items_client: TestClient, shared_postgres: PostgresServer
) -> None:
    item = _create(items_client)
    first = items_client.get(f"/items/{item['id']}")
    shared_postgres.query("TRUNCATE items", database="shop")
    second = items_client.get(f"/items/{item['id']}")
    assert (first.headers["x-cache"], second.headers["x-cache"]) == ("miss", "hit")
    assert first.json() == second.json() == item


def test_a_cached_item_is_forgotten_after_the_default_time_to_live(
    items_client: TestClient, redis_server: RedisServer
) -> None:
    item = _create(items_client)
    items_client.get(f"/items/{item['id']}")
    with redis_server.client() as redis:
        assert 55 <= redis.ttl(f"item:{item['id']}") <= 60


def test_an_item_that_was_asked_for_too_early_is_found_as_soon_as_it_is_there(items_client: TestClient) -> None:
    answer = items_client.get("/items/1")
    assert answer.status_code == 404
    assert answer.json() == {"detail": "There is no item with this number."}
    assert _create(items_client)["id"] == 1
    assert items_client.get("/items/1").status_code == 200


def test_that_there_is_no_item_is_asked_of_the_primary_through_a_pooler_too(
    start_service: StartService, database_settings: dict[str, object], postgres_server: PostgresServer
) -> None:
    postgres_server.stop()
    postgres_server.start("log_statement=all")
    assert start_service(**database_settings).get("/items/1").status_code == 404
    asked = [line for line in postgres_server.log().splitlines() if "FROM items WHERE id = $1" in line]
    assert "/*NO LOAD BALANCE*/" not in asked[-2]  # Pgpool-II sends this one to any server
    assert "/*NO LOAD BALANCE*/" in asked[-1]


def test_items_and_the_values_of_clients_are_apart_in_the_cache(items_client: TestClient) -> None:
    item = _create(items_client)
    items_client.put(f"/cache/item:{item['id']}", content=b"{}")
    assert items_client.get(f"/items/{item['id']}").json() == item


@pytest.mark.parametrize("away", [RedisServer.stop, RedisServer.pause])
def test_items_are_served_from_the_database_while_redis_is_away(
    items_client: TestClient, redis_server: RedisServer, away: Callable[[RedisServer], None]
) -> None:
    item = _create(items_client)
    items_client.get(f"/items/{item['id']}")
    away(redis_server)
    started = time.monotonic()
    answer = items_client.get(f"/items/{item['id']}")
    assert time.monotonic() - started < CACHE_BUDGET + 1  # a second for a busy machine
    assert answer.status_code == 200
    assert answer.headers["x-cache"] == "miss"
    assert answer.json() == item


@pytest.mark.parametrize(("method", "path"), [("GET", "/items"), ("POST", "/items"), ("GET", "/items/1")])
def test_without_a_database_items_answer_503_and_everything_else_is_served(
    client: TestClient, method: str, path: str
) -> None:
    answer = client.request(method, path, json={"name": "lamp"} if method == "POST" else None)
    assert answer.status_code == 503
    assert answer.json() == {"detail": "No database is configured."}
    assert client.put("/cache/k", content=b"x").status_code == 204
    assert client.get("/readyz").json() == {
        "status": "ok",
        "redis": "up",
        "postgres": "unconfigured",
        "postgres_read": "unconfigured",
        "migrations": "unknown",
    }
