"""Pgpool-II has too many clients, or is replaced, while it is at work."""

from time import monotonic, sleep

from checks.kube import Kube
from checks.postgres import pods
from checks.stack import Stack
from tests.faults import hot_postgres
from tests.faults.client_pod import running
from tests.faults.ways import PGPOOL

TIMES = 10  # clients for each process of Pgpool-II
CROWD_SECONDS = 15
NORMAL_SECONDS = 5.0
CLIENT_SECONDS = 180
REFUSAL = "Sorry, too many clients already"
"""Pgpool-II's own words for `reservedConnections`; PostgreSQL's begin with a small letter."""
REFUSAL_BEFORE_TLS = "server sent an error response during SSL exchange"
"""What libpq makes of it when it has asked for TLS."""
DESCRIPTORS = 100
"""More than any process of Pgpool-II needs; at 1024 one aborts."""
_POSTGRES_REFUSALS = ("sorry, too many clients already", "remaining connection slots are reserved")


def test_ten_times_more_clients_than_children_are_served_or_told_so_and_soon_forgotten(
    kube: Kube, stack: Stack
) -> None:
    own = stack.settings.pgpool
    count = TIMES * own.replicas * own.pooling.num_init_children
    database, before = hot_postgres.database(kube), restarts(kube)
    started = monotonic()
    with running(kube, ("crowd", str(count), PGPOOL, database, str(CROWD_SECONDS))) as [crowd]:
        result = crowd.line(CLIENT_SECONDS)
    print(f"{count} clients: {result['served']} sessions served, at most {result['longest']} s until then")
    for reason, times in (result["told"] | result["words"]).items():
        print(f"  {times} times: {reason}")
    refusals = (REFUSAL, REFUSAL_BEFORE_TLS)
    others = {why: times for why, times in result["told"].items() if not why.endswith(refusals)}
    assert others == {}
    assert set(result["words"]) == {REFUSAL}
    assert result["served"] >= own.replicas * own.sessions_per_pod
    with running(kube, ("newcomers", PGPOOL, database, str(NORMAL_SECONDS))) as [newcomers]:
        assert newcomers.line(seconds=NORMAL_SECONDS) == {"warm": True}
        afterwards = newcomers.line(seconds=2 * NORMAL_SECONDS)
    assert afterwards["failed"] == {}
    assert refusals_of_postgres(kube, monotonic() - started) == []
    assert {pod: most for pod in before if (most := most_descriptors(kube, pod)) > DESCRIPTORS} == {}
    assert restarts(kube) == before, "Pgpool-II must not have ended"


def test_a_rollout_of_pgpool_under_load_refuses_no_connection(kube: Kube) -> None:
    with running(kube, ("newcomers", PGPOOL, hot_postgres.database(kube), str(CLIENT_SECONDS))) as [newcomers]:
        assert newcomers.line(seconds=60) == {"warm": True}
        old = set(restarts(kube))
        kube.run("rollout", "restart", "deployment/pgpool")
        kube.run("rollout", "status", "deployment/pgpool", "--timeout=120s", timeout=130)
        # The old pods drain and stop after the new ones are there.
        kube.run("wait", "--for=delete", *(f"pod/{name}" for name in old), "--timeout=60s", timeout=70)
        sleep(1)  # a few more sessions on the new ones alone
        newcomers.stop()
        result = newcomers.line(seconds=30)
    print(f"rollout of Pgpool-II: {result['sessions']} sessions, failed: {result['failed'] or 'none'}")
    assert not old & set(restarts(kube)), "the rollout must have replaced every pod"
    assert result["failed"] == {}


def restarts(kube: Kube) -> dict[str, int]:
    """How often the container of each pod of Pgpool-II has ended."""
    return {
        pod["metadata"]["name"]: pod["status"]["containerStatuses"][0]["restartCount"]
        for pod in kube.objects("pods", "app=pgpool")
    }


def most_descriptors(kube: Kube, pod: str) -> int:
    """How many descriptors the process with the most of them has open."""
    script = 'for folder in /proc/[0-9]*/fd; do ls "$folder" 2>/dev/null | wc -l; done'
    return max(map(int, kube.run("exec", pod, "--", "sh", "-c", script).split()))


def refusals_of_postgres(kube: Kube, seconds: float) -> list[str]:
    """Lines of the last `seconds` in which any instance turned a client away."""
    found = []
    for pod in pods(kube):
        name = pod["metadata"]["name"]
        log = kube.run("logs", name, "--container=postgres", f"--since={int(seconds) + 1}s")
        found += [line for line in log.splitlines() if any(text in line for text in _POSTGRES_REFUSALS)]
    return found
