"""Standbys go away: who notices."""

import threading
from collections.abc import Sequence
from time import sleep

from checks.kube import Kube
from checks.postgres import cluster, current_primary, pods, sql
from tests.faults import hot_postgres
from tests.faults.client_pod import Client, Line, running
from tests.faults.ways import PGPOOL, READS

SESSIONS = 20
CLIENT_SECONDS = 180
WAYS = {"through Pgpool": PGPOOL, "read-only": READS}
SERVICES_KNOW_SECONDS = 5  # after which no Service may lead to a killed pod any more


def test_a_killed_standby_breaks_its_own_sessions_only_and_new_ones_succeed(kube: Kube) -> None:
    database = hot_postgres.database(kube)
    victim, *_ = hot_postgres.standbys(kube)
    address = address_of(kube, victim)
    arrivals = [("newcomers", way, database, str(CLIENT_SECONDS)) for way in WAYS.values()]
    holders = [("sessions", str(SESSIONS), way, database, str(CLIENT_SECONDS)) for way in WAYS.values()]
    with running(kube, *holders) as holding, running(kube, *arrivals) as arriving:
        warm(*holding, *arriving)
        hot_postgres.kill(kube, victim)
        sleep(SERVICES_KNOW_SECONDS)
        at_once = ended(*arriving)
        with running(kube, *arrivals) as arriving_later:
            warm(*arriving_later)
            hot_postgres.wait_until_healthy(kube)
            later = ended(*arriving_later)
        held = ended(*holding)
    for way, before, after, kept in zip(WAYS, at_once, later, held, strict=True):
        own, others = by_server(kept["sessions"], address)
        print(f"{way}: {broken(own)} of {len(own)} sessions on the killed standby broke, {broken(others)} others")
        print(f"{way}, new sessions: {summary(before)}; {SERVICES_KNOW_SECONDS} s after the kill: {summary(after)}")
        assert own, "the killed standby had no session: nothing was tried"
        assert others
        assert [session["error"] for session in others if session["error"]] == []
        assert after["failed"] == {}


def test_without_any_standby_every_new_session_succeeds_and_a_write_waits_for_one(kube: Kube) -> None:
    database, primary = hot_postgres.database(kube), current_primary(kube)
    synchronous = cluster(kube)["spec"]["postgresql"]["synchronous"]
    assert synchronous["dataDurability"] == "required", "the rest of this test is about commits that wait"
    insert = "INSERT INTO fault_rows (client, number) VALUES ('waits', 1)"
    writer = threading.Thread(target=sql, args=(kube, primary, insert, database, CLIENT_SECONDS))
    arrivals = [("newcomers", way, database, str(CLIENT_SECONDS)) for way in WAYS.values()]
    with hot_postgres.fenced(kube, hot_postgres.standbys(kube)), running(kube, *arrivals) as arriving:
        warm(*arriving)
        writer.start()
        writer.join(timeout=5)
        waited = writer.is_alive()
        results = ended(*arriving)
    hot_postgres.wait_until_healthy(kube)
    writer.join(timeout=30)
    for way, result in zip(WAYS, results, strict=True):
        print(f"{way} without a standby, new sessions: {summary(result)}")
        assert result["failed"] == {}
    assert waited, "a commit without a standby must not be acknowledged while dataDurability is `required`"
    assert not writer.is_alive(), "the commit must end once a standby is back"
    assert sql(kube, primary, "SELECT count(*) FROM fault_rows WHERE client = 'waits'", database) == "1"


def warm(*clients: Client) -> None:
    """Wait until all of them are at work."""
    for client in clients:
        assert client.line(seconds=60) == {"warm": True}


def ended(*clients: Client) -> list[Line]:
    """Stop them; what they have to say."""
    for client in clients:
        client.stop()
    return [client.line(seconds=60) for client in clients]


def address_of(kube: Kube, name: str) -> str:
    """The address of an instance."""
    [address] = [pod["status"]["podIP"] for pod in pods(kube) if pod["metadata"]["name"] == name]
    return address


def by_server(sessions: Sequence[Line], address: str) -> tuple[list[Line], list[Line]]:
    """The sessions that a server has answered, and the others."""
    own = [session for session in sessions if address in session["servers"]]
    return own, [session for session in sessions if address not in session["servers"]]


def broken(sessions: Sequence[Line]) -> int:
    return sum(session["error"] is not None for session in sessions)


def summary(result: Line) -> str:
    return f"{result['sessions']}, failed: {result['failed'] or 'none'}, the slowest took {result['longest']} s"
