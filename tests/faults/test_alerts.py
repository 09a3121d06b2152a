"""Faults of a running stack are detected within two scrape intervals plus the `for` of their alert, which clears."""

import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager

import httpx2
import pytest

from checks.cluster import node_address
from checks.kube import Kube
from checks.monitoring import active_targets, prometheus
from checks.outcome import eventually
from checks.postgres import current_primary, sql
from checks.stack import Stack
from checks.web import successful
from tests.cluster.load import load
from tests.faults import hot_postgres
from tests.faults.client_pod import running
from tests.faults.redis import redis_scaled_away

ROUNDING = 2.0  # seconds: it is asked once a second, and an answer takes a moment
CLEARS_SECONDS = 345.0  # once the fault is over: a budget's short window of five minutes, and three scrapes
LAG_SECONDS = 30.0  # what the alert of a lag takes for one
ARCHIVER_SECONDS = 120.0  # until an attempt to archive has failed, all its own attempts included
REPLICA = "redis-replica-0"
REPLAYED_LATE = "CREATE TABLE IF NOT EXISTS alert_rows (at timestamptz); INSERT INTO alert_rows VALUES (now())"


@pytest.fixture(scope="module")
def api(stack: Stack) -> Iterator[httpx2.Client]:
    """The API of the stack's Prometheus."""
    with prometheus(stack) as client:
        yield client


@pytest.fixture(autouse=True)
def whole(kube: Kube) -> Iterator[None]:
    """Each test begins with a whole stack, Redis too, and leaves one."""
    _wait_for_redis(kube)
    yield
    _wait_for_redis(kube)


def test_no_redis_primary_and_what_users_notice_of_it(stack: Stack, api: httpx2.Client) -> None:
    node, port = node_address(stack), stack.settings.fastapi.node_port or 0
    with (
        noticed(api, "RedisNoPrimary", "FastapiAvailabilityBudgetBurns 1h") as detected,
        redis_scaled_away(stack.kube),
        load(node, port, "/cache/alert"),  # the service answers 503
    ):
        detected()


def test_a_redis_replica_that_is_cut_off(stack: Stack, api: httpx2.Client) -> None:
    redis = ("exec", REPLICA, "--container=redis", "--", "sh", "/etc/redis/ping.sh")
    found = stack.kube.run(*redis, "INFO", "replication")
    info = dict(line.split(":", 1) for line in found.splitlines() if ":" in line)
    with noticed(api, "RedisReplicaCutOff") as detected:
        stack.kube.run(*redis, "REPLICAOF", "127.0.0.1", "1")
        try:
            detected()
        finally:
            stack.kube.run(*redis, "REPLICAOF", info["master_host"].strip(), info["master_port"].strip())


def test_no_postgres_primary(stack: Stack, api: httpx2.Client) -> None:
    kube = stack.kube
    with noticed(api, "PostgresNoPrimary") as detected:
        # The operator leaves a primary that is fenced where it is.
        with hot_postgres.fenced(kube, [current_primary(kube)]):
            detected()
        hot_postgres.wait_until_healthy(kube)


def test_all_standbys_are_away(stack: Stack, api: httpx2.Client) -> None:
    kube = stack.kube
    # To Pgpool-II, all standbys are one server: their Service.
    with noticed(api, "PostgresReplicationBroken", "PostgresCommitsWait", "PgpoolNodeDown") as detected:
        with hot_postgres.fenced(kube, hot_postgres.standbys(kube)):
            detected()
        hot_postgres.wait_until_healthy(kube)


def test_a_standby_that_does_not_replay(stack: Stack, api: httpx2.Client) -> None:
    kube = stack.kube
    primary, standby = current_primary(kube), hot_postgres.standbys(kube)[0]
    with noticed(api, "PostgresReplicationLag") as detected:
        sql(kube, standby, "SELECT pg_wal_replay_pause()")
        try:
            # It takes some transactions, one after the other, for the primary to see it lag.
            for _ in range(int(LAG_SECONDS)):
                sql(kube, primary, REPLAYED_LATE)
                time.sleep(1)
            detected()
        finally:
            sql(kube, standby, "SELECT pg_wal_replay_resume()")
            sql(kube, primary, "DROP TABLE IF EXISTS alert_rows")


def test_archiving_fails(stack: Stack, api: httpx2.Client) -> None:
    kube = stack.kube
    with noticed(api, "PostgresArchivingFailing") as detected:
        kube.run("scale", "statefulset/object-store", "--replicas=0")
        try:
            kube.run("wait", "--for=delete", "pod/object-store-0", "--timeout=90s", timeout=100)
            primary = current_primary(kube)
            sql(
                kube, primary, "SELECT pg_switch_wal() FROM pg_logical_emit_message(true, 'alert', 'a file to archive')"
            )
            eventually(lambda: _not_failed(kube, primary), ARCHIVER_SECONDS)
            detected()
        finally:
            kube.run("scale", "statefulset/object-store", "--replicas=1")
            kube.run("rollout", "status", "statefulset/object-store", "--timeout=120s", timeout=130)


def test_pgpool_has_few_processes_left(stack: Stack, api: httpx2.Client) -> None:
    kube, children = stack.kube, stack.settings.pgpool.sessions_per_pod
    address = kube.ready_pods("app=pgpool")[0]["status"]["podIP"]
    # Over four fifths with the exporter's own session; one more is left for whoever comes.
    count = str(min(int(0.8 * children) + 1, children - 2))
    with noticed(api, "PgpoolChildrenBusy") as detected:
        crowd = ("sessions", count, f"{address}:9999", hot_postgres.database(kube), "600")
        with running(kube, crowd) as [sessions]:
            assert sessions.line(seconds=60) == {"warm": True}
            detected()
            sessions.stop()
            sessions.line(seconds=60)


@contextmanager
def noticed(api: httpx2.Client, *alerts: str) -> Generator["Detection", None, None]:
    """What is to be called once the fault is there; after the block, the alerts clear, as they do before it.

    Raises:
        AssertionError: an alert was late.
        CheckError: an alert did not clear.
    """

    def wait_until_none_is(*states: str) -> None:
        eventually(lambda: ", ".join(sorted(set(alerts) & those(api, *states))) or None, CLEARS_SECONDS, pause=1)

    wait_until_none_is("pending", "firing")  # of what a test before this one did
    yield Detection(api, alerts)
    started = time.monotonic()
    wait_until_none_is("firing")
    print(f"{' and '.join(alerts)}: clear after {time.monotonic() - started:.0f} s")


class Detection:
    """Waits for alerts that a fault should fire."""

    def __init__(self, api: httpx2.Client, alerts: tuple[str, ...]) -> None:
        self._api = api
        self._alerts = alerts

    def __call__(self) -> None:
        """Wait until all fire; each within its own limit from now on."""
        started = time.monotonic()
        scrapes = 2 * scrape_interval(self._api)
        limits = {name: wait + scrapes for name, wait in waits(self._api, self._alerts).items()}
        waiting = dict(limits)
        while waiting:
            now, seen = time.monotonic() - started, those(self._api, "firing")
            for name in sorted(set(waiting) & seen):
                print(f"{name}: fires after {now:.0f} s, of {limits[name]:.0f} s that it may take")
                del waiting[name]
            late = [name for name, limit in waiting.items() if now > limit + ROUNDING]
            assert not late, f"{', '.join(late)}: not after {now:.0f} s"
            time.sleep(1)


def those(api: httpx2.Client, *states: str) -> set[str]:
    """All alerts in one of these states, as `called`."""
    alerts = successful(api, "GET", "/api/v1/alerts").json()["data"]["alerts"]
    return {called(alert["labels"]["alertname"], alert["labels"]) for alert in alerts if alert["state"] in states}


def called(name: str, labels: Mapping[str, str]) -> str:
    """The name of an alert, with its window where it has one: a budget is watched over several, which clear in turn."""
    return f"{name} {labels['window']}" if "window" in labels else name


def waits(api: httpx2.Client, alerts: tuple[str, ...]) -> dict[str, float]:
    """The shortest `for` of each alert, in seconds."""
    groups = successful(api, "GET", "/api/v1/rules?type=alert").json()["data"]["groups"]
    found = [(called(rule["name"], rule["labels"]), rule["duration"]) for group in groups for rule in group["rules"]]
    result = {name: wait for name, wait in sorted(found, reverse=True) if name in alerts}
    assert set(result) == set(alerts), "Prometheus does not know all of these alerts"
    return result


def scrape_interval(api: httpx2.Client) -> float:
    """Seconds from one scrape of a target to the next."""
    [interval] = {target["scrapeInterval"] for target in active_targets(api)}
    return float(interval.removesuffix("s"))


def _not_failed(kube: Kube, primary: str) -> str | None:
    failed = sql(kube, primary, "SELECT coalesce(last_failed_time > last_archived_time, false) FROM pg_stat_archiver")
    return None if failed == "t" else "no attempt to archive has failed yet"


def _wait_for_redis(kube: Kube) -> None:
    for workload in ("statefulset/redis", "statefulset/redis-replica"):
        kube.run("rollout", "status", workload, "--timeout=120s", timeout=130)
