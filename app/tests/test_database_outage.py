"""The database away, back, and elsewhere: what clients of the service see, and for how long."""

import logging
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from conftest import DATABASE, StartService
from fastapi.testclient import TestClient
from httpx2 import Response
from postgres_server import PostgresServer
from service.database import OPERATION_BUDGET, WAITING_PER_CONNECTION

NEW = {"name": "lamp"}
POOL_SIZE = 4  # of `postgres_settings`
BACK_SECONDS = 1.5  # a connect a second is tried while requests wait
MARGIN = 1.0  # seconds that a busy machine may add to a time limit


@pytest.fixture
def client(start_service: StartService, database_settings: dict[str, object]) -> TestClient:
    """Return a client of a service that has a PostgreSQL of its own, `postgres_server`."""
    return start_service(**database_settings)


def _seconds(request: Callable[[], Response]) -> tuple[Response, float]:
    started = time.monotonic()
    answer = request()
    return answer, time.monotonic() - started


def _requests(client: TestClient) -> list[Callable[[], Response]]:
    return [
        lambda: client.get("/items"),
        lambda: client.get("/items/1"),
        lambda: client.post("/items", json=NEW),
    ]


def _names(server: PostgresServer) -> list[str]:
    return [name for (name,) in server.query("SELECT name FROM items ORDER BY id", database=DATABASE)]


def _fill_pool(client: TestClient, server: PostgresServer) -> None:
    """Make the service hold all the connections that it may, by as many requests at once."""
    with (
        psycopg.connect(server.conninfo(DATABASE)) as lock,
        ThreadPoolExecutor(POOL_SIZE) as threads,
    ):
        lock.execute("LOCK TABLE items")
        answers = [threads.submit(client.get, "/items") for _ in range(POOL_SIZE)]
        _wait_for(lambda: _waiting_for_a_lock(server) == POOL_SIZE)
        lock.rollback()
        assert {answer.result().status_code for answer in answers} == {200}


def _waiting_for_a_lock(server: PostgresServer) -> int:
    [(count,)] = server.query("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    return count


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("what this test waits for did not happen in 5 s")
        time.sleep(0.02)


@pytest.mark.parametrize("how", [signal.SIGQUIT, signal.SIGINT])
def test_every_request_gets_a_503_within_its_budget_while_postgres_is_stopped_and_is_served_right_after(
    client: TestClient, postgres_server: PostgresServer, how: signal.Signals
) -> None:
    _fill_pool(client, postgres_server)
    postgres_server.stop(how)
    for request in _requests(client):
        answer, seconds = _seconds(request)
        assert answer.status_code == 503
        assert answer.json() == {"detail": "The database is unavailable. Please try again."}
        assert int(answer.headers["retry-after"]) >= 1
        assert seconds < OPERATION_BUDGET + MARGIN
    postgres_server.start()
    answer, seconds = _seconds(lambda: client.post("/items", json=NEW))
    assert answer.status_code == 201
    assert seconds < BACK_SECONDS + MARGIN
    assert _names(postgres_server) == ["lamp"]


def test_connections_that_broke_are_not_seen_by_any_request(
    client: TestClient, postgres_server: PostgresServer
) -> None:
    assert client.post("/items", json=NEW).status_code == 201
    for requests in (_requests(client), _requests(client)[::-1]):  # a read is the first to meet them, then a write
        _fill_pool(client, postgres_server)
        postgres_server.stop()
        postgres_server.start()
        assert {request().status_code for request in requests} == {200, 201}


def test_a_service_that_starts_before_postgres_uses_it_once_it_is_there(
    postgres_server: PostgresServer, start_service: StartService, database_settings: dict[str, object]
) -> None:
    postgres_server.stop()
    client = start_service(**database_settings)
    assert client.get("/items").status_code == 503
    postgres_server.start()
    assert client.get("/items").status_code == 200


def test_a_postgres_that_accepts_but_never_answers_holds_up_requests_for_a_bounded_time(
    client: TestClient, postgres_server: PostgresServer
) -> None:
    _fill_pool(client, postgres_server)
    postgres_server.pause()
    watchdog = threading.Timer(15, postgres_server.resume)  # a service that waits for it fails, rather than hangs
    watchdog.start()
    for request in _requests(client):
        answer, seconds = _seconds(request)
        assert answer.status_code == 503
        assert answer.json() == {"detail": "The database is unavailable. Please try again."}
        assert seconds < OPERATION_BUDGET + MARGIN
    ready, seconds = _seconds(lambda: client.get("/readyz"))
    assert ready.status_code == 200
    assert seconds < 3  # the time-out of the pod's probe
    assert _seconds(lambda: client.get("/livez"))[1] < MARGIN
    watchdog.cancel()
    postgres_server.resume()
    _wait_for(lambda: client.get("/items").status_code == 200)
    assert client.post("/items", json=NEW).status_code == 201


def test_a_primary_that_is_demoted_refuses_writes_until_one_is_there_again(
    client: TestClient, postgres_server: PostgresServer
) -> None:
    _fill_pool(client, postgres_server)
    postgres_server.query("ALTER SYSTEM SET default_transaction_read_only = on")
    postgres_server.query("SELECT pg_reload_conf()")
    _wait_for(lambda: client.post("/items", json=NEW).status_code == 503)
    answer = client.post("/items", json=NEW)
    assert answer.headers["retry-after"]
    assert client.get("/items").status_code == 200
    with psycopg.connect(postgres_server.conninfo(), autocommit=True) as admin:
        admin.execute("SET default_transaction_read_only = off")
        admin.execute("ALTER SYSTEM RESET default_transaction_read_only")
        admin.execute("SELECT pg_reload_conf()")
    _wait_for(lambda: client.post("/items", json=NEW).status_code == 201)


@pytest.fixture
def standby(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """Yield what will be a streaming standby of `postgres_server` once it is started."""
    server = PostgresServer(postgres_server.data.with_name("standby"))
    server.follow(postgres_server)
    yield server
    server.stop()
    shutil.rmtree(server.data)


@pytest.fixture
def client_of_both(
    start_service: StartService,
    database_settings: dict[str, object],
    postgres_server: PostgresServer,
    standby: PostgresServer,
) -> TestClient:
    """Return a client of a service that reads from `standby`, or from the primary when there is none."""
    return start_service(
        **database_settings,
        postgres_read_hosts="127.0.0.1,127.0.0.1",
        postgres_read_ports=f"{standby.port},{postgres_server.port}",
    )


@pytest.fixture
def running_standby(standby: PostgresServer) -> PostgresServer:
    standby.start()
    return standby


def test_reads_outlive_the_primary_and_writes_are_back_with_its_successor(
    client_of_both: TestClient, postgres_server: PostgresServer, running_standby: PostgresServer
) -> None:
    client, standby = client_of_both, running_standby
    assert client.post("/items", json=NEW).status_code == 201
    _wait_for(lambda: _names(standby) == ["lamp"])
    assert client.get("/items").status_code == 200
    postgres_server.stop()
    page, item, write = (request() for request in _requests(client))
    assert (page.status_code, item.status_code, write.status_code) == (200, 200, 503)
    assert client.get("/readyz").json() == {
        "status": "ok",
        "redis": "up",
        "postgres": "down",
        "postgres_read": "up",
        "migrations": "current",
    }
    # The standby takes the address of the primary, first as what it is and then promoted.
    standby.stop(signal.SIGINT)
    standby.port = postgres_server.port
    standby.start()
    assert client.get("/items").status_code == 200
    assert client.post("/items", json=NEW).status_code == 503
    standby.promote()
    answer, seconds = _seconds(lambda: client.post("/items", json=NEW))
    assert answer.status_code == 201
    assert seconds < BACK_SECONDS + MARGIN
    assert _names(standby) == ["lamp", "lamp"]
    standby.stop()


def test_reads_live_without_any_standby(client_of_both: TestClient) -> None:
    assert client_of_both.post("/items", json=NEW).status_code == 201
    assert client_of_both.get("/items/1").status_code == 200
    assert client_of_both.get("/readyz").json()["postgres_read"] == "up"


def test_an_item_that_has_not_reached_the_standby_is_found_right_after_its_post(
    client_of_both: TestClient, running_standby: PostgresServer
) -> None:
    running_standby.query("SELECT pg_wal_replay_pause()")
    assert client_of_both.post("/items", json=NEW).status_code == 201
    assert client_of_both.get("/items").json()["items"] == []
    assert client_of_both.get("/items/1").json()["name"] == "lamp"


def _post_during_a_lock(
    client: TestClient, server: PostgresServer, meanwhile: Callable[[], object]
) -> tuple[Response, float]:
    """Post an item that has to wait for a lock, and do something once it waits."""
    with psycopg.connect(server.conninfo(DATABASE)) as lock, ThreadPoolExecutor(1) as thread:
        lock.execute("LOCK TABLE items")
        post = thread.submit(_seconds, lambda: client.post("/items", json=NEW))
        _wait_for(lambda: _waiting_for_a_lock(server) == 1)
        meanwhile()
        lock.rollback()
        return post.result()


def test_a_write_whose_connection_breaks_on_the_way_is_not_done_again_and_says_that_it_may_have_been_done(
    client: TestClient, postgres_server: PostgresServer
) -> None:
    terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    answer, _ = _post_during_a_lock(client, postgres_server, lambda: postgres_server.query(terminate))
    assert answer.status_code == 503
    assert "may be stored, or not" in answer.json()["detail"]
    assert "retry-after" not in answer.headers
    assert _names(postgres_server) == []
    assert client.post("/items", json=NEW).status_code == 201


def test_a_write_that_takes_too_long_is_given_up_on_the_server_too(
    client: TestClient, postgres_server: PostgresServer
) -> None:
    def wait_until_given_up() -> None:
        _wait_for(lambda: _waiting_for_a_lock(postgres_server) == 0)

    answer, seconds = _post_during_a_lock(client, postgres_server, wait_until_given_up)
    assert answer.status_code == 503
    assert "retry-after" not in answer.headers
    assert seconds < OPERATION_BUDGET + MARGIN
    assert _names(postgres_server) == []


def test_a_write_that_no_standby_confirms_is_not_acknowledged_and_occupies_no_connection(
    client: TestClient, postgres_server: PostgresServer
) -> None:
    postgres_server.stop()
    postgres_server.start("synchronous_standby_names=nobody")
    client.get("/items")
    answer, seconds = _seconds(lambda: client.post("/items", json=NEW))
    assert answer.status_code == 503
    assert "may be stored, or not" in answer.json()["detail"]
    assert seconds < OPERATION_BUDGET + MARGIN
    assert postgres_server.query("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == []


def test_more_requests_than_may_wait_are_turned_away_at_once_and_the_others_are_served(
    client: TestClient, postgres_server: PostgresServer
) -> None:
    _fill_pool(client, postgres_server)
    capacity = POOL_SIZE * (1 + WAITING_PER_CONNECTION)
    with psycopg.connect(postgres_server.conninfo(DATABASE)) as lock, ThreadPoolExecutor(capacity + 8) as threads:
        lock.execute("LOCK TABLE items")
        requests = [threads.submit(client.get, "/items") for _ in range(capacity + 8)]
        _wait_for(lambda: sum(request.done() for request in requests) == 8)
        lock.rollback()
        answers = [request.result() for request in requests]
    refused = [answer for answer in answers if answer.status_code == 503]
    assert len(refused) == 8
    assert {answer.status_code for answer in answers} == {200, 503}
    assert refused[0].json() == {"detail": "Too many requests wait for the database. Please try again."}
    assert refused[0].headers["retry-after"]


def test_a_postgres_without_a_connection_to_spare_gives_503(
    postgres_server: PostgresServer, start_service: StartService, database_settings: dict[str, object]
) -> None:
    postgres_server.stop()
    postgres_server.start("max_connections=5", "superuser_reserved_connections=4", "max_wal_senders=0")
    with psycopg.connect(
        host="127.0.0.1",
        port=postgres_server.port,
        dbname=DATABASE,
        user="shop",
        password="r0le-passw0rd-that-nobody-may-see",
    ):
        client = start_service(**database_settings)
        answer, seconds = _seconds(lambda: client.get("/items"))
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert seconds < OPERATION_BUDGET + MARGIN
    assert client.get("/items").status_code == 200


def test_writes_of_many_clients_across_a_restart_are_each_stored_at_most_once(
    client: TestClient, postgres_server: PostgresServer
) -> None:
    stop = threading.Event()

    def write(worker: int) -> list[tuple[str, int]]:
        done = []
        for n in range(2000):
            if stop.is_set():
                break
            name = f"{worker}-{n}"
            done.append((name, client.post("/items", json={"name": name}).status_code))
        return done

    with ThreadPoolExecutor(POOL_SIZE) as threads:
        workers = [threads.submit(write, worker) for worker in range(POOL_SIZE)]
        time.sleep(0.3)
        postgres_server.stop()
        postgres_server.start()
        time.sleep(0.5)
        stop.set()
        results = dict(entry for worker in workers for entry in worker.result())
    stored = _names(postgres_server)
    assert len(stored) == len(set(stored))
    assert {name for name, status in results.items() if status == 201} <= set(stored)
    assert set(results.values()) <= {201, 503}


def test_an_outage_is_logged_once_a_way_and_so_is_its_end(
    client: TestClient, postgres_server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="service.database")
    postgres_server.stop()
    for _ in range(2):
        client.post("/items", json=NEW)
    postgres_server.start()
    for _ in range(2):
        client.post("/items", json=NEW)
    assert [record.getMessage() for record in caplog.records if record.name == "service.database"] == [
        "PostgreSQL is down",
        "PostgreSQL is up again",
    ]
