import time

import pytest
from conftest import MAX_TTL, MAX_VALUE_BYTES
from fastapi.testclient import TestClient
from redis_server import RedisServer

EVERY_BYTE = bytes(range(256))


def test_a_value_comes_back_byte_for_byte(client: TestClient) -> None:
    assert client.put("/cache/blob", content=EVERY_BYTE).status_code == 204
    answer = client.get("/cache/blob")
    assert answer.status_code == 200
    assert answer.content == EVERY_BYTE


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/x-www-form-urlencoded", None])
def test_a_body_is_kept_as_it_is_whatever_its_declared_type(client: TestClient, content_type: str | None) -> None:
    headers = {"content-type": content_type} if content_type else {}
    assert client.put("/cache/typed", content=b'{"a": ', headers=headers).status_code == 204
    assert client.get("/cache/typed").content == b'{"a": '


def test_a_browser_is_told_not_to_take_a_value_for_a_page(client: TestClient) -> None:
    client.put("/cache/page", content=b"<script>", headers={"content-type": "text/html"})
    headers = client.get("/cache/page").headers
    assert headers["content-type"] == "application/octet-stream"
    assert headers["x-content-type-options"] == "nosniff"


def test_an_empty_value_is_a_value(client: TestClient) -> None:
    assert client.put("/cache/empty").status_code == 204
    assert client.get("/cache/empty").status_code == 200


def test_a_second_put_replaces_value_and_time_to_live(client: TestClient, redis_server: RedisServer) -> None:
    client.put("/cache/twice", params={"ttl": 5}, content=b"one")
    client.put("/cache/twice", params={"ttl": 500}, content=b"two")
    assert client.get("/cache/twice").content == b"two"
    with redis_server.client() as redis:
        assert redis.ttl("cache:twice") > 400


def test_a_value_is_gone_after_its_time_to_live(client: TestClient) -> None:
    client.put("/cache/brief", params={"ttl": 1}, content=b"x")
    assert client.get("/cache/brief").status_code == 200
    time.sleep(1.1)
    assert client.get("/cache/brief").status_code == 404


def test_a_put_without_ttl_gets_the_default_of_the_settings(client: TestClient, redis_server: RedisServer) -> None:
    client.put("/cache/default", content=b"x")
    with redis_server.client() as redis:
        assert 55 <= redis.ttl("cache:default") <= 60


@pytest.mark.parametrize("ttl", ["0", "-1", str(MAX_TTL + 1), "soon", "1.5", ""])
def test_a_ttl_out_of_bounds_is_refused_and_nothing_is_stored(client: TestClient, ttl: str) -> None:
    answer = client.put("/cache/ttl", params={"ttl": ttl}, content=b"x")
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", "ttl"]
    assert client.get("/cache/ttl").status_code == 404


def test_the_longest_ttl_is_allowed(client: TestClient) -> None:
    assert client.put("/cache/ttl", params={"ttl": MAX_TTL}, content=b"x").status_code == 204


def test_a_missing_key_is_404_with_a_sentence(client: TestClient) -> None:
    answer = client.get("/cache/nothing")
    assert answer.status_code == 404
    assert answer.json() == {"detail": "There is no value with this key."}


def test_a_deleted_key_is_gone_and_a_second_delete_says_so(client: TestClient) -> None:
    client.put("/cache/old", content=b"x")
    assert client.delete("/cache/old").status_code == 204
    assert client.get("/cache/old").status_code == 404
    assert client.delete("/cache/old").status_code == 404


@pytest.mark.parametrize("key", ["a", "a.b_c:d-9", "A" * 200])
def test_a_key_within_the_limits_is_stored(client: TestClient, key: str) -> None:
    assert client.put(f"/cache/{key}", content=b"x").status_code == 204
    assert client.get(f"/cache/{key}").content == b"x"


@pytest.mark.parametrize("key", ["A" * 201, "a b", "a%0Ab", "a%0A", "%D1%8F", "a*", "%00"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_key_outside_the_limits_is_refused(client: TestClient, method: str, key: str) -> None:
    answer = client.request(method, f"/cache/{key}")
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["path", "key"]


def test_a_value_of_the_largest_size_is_stored(client: TestClient) -> None:
    assert client.put("/cache/full", content=b"x" * MAX_VALUE_BYTES).status_code == 204
    assert len(client.get("/cache/full").content) == MAX_VALUE_BYTES


def test_a_value_one_byte_too_large_is_refused_and_the_old_one_stays(client: TestClient) -> None:
    client.put("/cache/over", content=b"old")
    answer = client.put("/cache/over", content=b"x" * (MAX_VALUE_BYTES + 1))
    assert answer.status_code == 413
    assert "detail" in answer.json()
    assert client.get("/cache/over").content == b"old"


def test_keys_of_other_users_of_the_same_redis_are_out_of_reach(client: TestClient, redis_server: RedisServer) -> None:
    with redis_server.client() as redis:
        redis.set("session", "theirs")
        assert client.get("/cache/session").status_code == 404
        assert client.delete("/cache/session").status_code == 404
        client.put("/cache/session", content=b"ours")
        assert redis.get("session") == "theirs"
