"""What the fault tests do to PostgreSQL, and what they wait for."""

import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from checks.kube import Kube, KubectlError
from checks.outcome import eventually
from checks.postgres import CLUSTER, INSTANCES, cluster, current_primary, pods, sql, streaming_standbys
from components.postgres import NAME

HEALTHY_SECONDS = 180.0
_FENCED = "cnpg.io/fencedInstances"


def standbys(kube: Kube) -> list[str]:
    """The instances that are not the primary."""
    primary = current_primary(kube)
    return sorted(name for pod in pods(kube) if (name := pod["metadata"]["name"]) != primary)


def kill(kube: Kube, pod: str) -> None:
    """Delete a pod with a second of grace.

    That is what CloudNativePG's own failover test does: too short for the operator's orderly way out, so that
    the others must find out by themselves, as when a process or its machine dies.
    """
    kube.run("delete", "pod", pod, "--grace-period=1", "--wait=false")


def switch_over(kube: Kube, to: str) -> None:
    """Make a standby the primary in an orderly way.

    `kubectl cnpg promote` does the same: it sets these fields of the status, and the operator does the rest.
    """
    status = {
        "targetPrimary": to,
        "targetPrimaryTimestamp": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "phase": "Switchover in progress",
        "phaseReason": f"Switching over to {to}",
    }
    kube.run(
        "patch", CLUSTER, NAME, "--subresource=status", "--type=merge", f"--patch={json.dumps({'status': status})}"
    )


@contextmanager
def fenced(kube: Kube, instances: Sequence[str]) -> Generator[None, None, None]:
    """PostgreSQL does not run on these instances while the block runs; their pods stay."""
    kube.run("annotate", "--overwrite", CLUSTER, NAME, f"{_FENCED}={json.dumps(list(instances))}")
    try:
        eventually(lambda: _still_ready(kube, instances), seconds=60)
        yield
    finally:
        kube.run("annotate", CLUSTER, NAME, f"{_FENCED}-")


def wait_until_healthy(kube: Kube) -> None:
    """Wait until all instances are there, and every standby streams from the primary.

    Raises:
        CheckError: it took more than `HEALTHY_SECONDS`; with what is missing.
    """
    eventually(lambda: missing(kube), HEALTHY_SECONDS)


def replace_restarted_pods(kube: Kube) -> None:
    """Give each standby a new pod whose container has ended before, and wait until all is healthy.

    A switchover ends the container of the old primary, and Kubernetes starts one that ends often later and later, up
    to five minutes: after a few switchovers that would be all that is measured.
    """
    restarted = [
        pod["metadata"]["name"]
        for pod in pods(kube)
        if any(container["restartCount"] for container in pod["status"]["containerStatuses"])
    ]
    for name in sorted(set(restarted) & set(standbys(kube))):
        kube.run("delete", "pod", name, timeout=60)
        wait_until_healthy(kube)


def missing(kube: Kube) -> str | None:
    """What PostgreSQL lacks of being whole; `None` when it is."""
    found = cluster(kube)
    wanted, status = found["spec"]["instances"], found["status"]
    if status["phase"] != "Cluster in healthy state" or status.get("readyInstances") != wanted:
        return f"{status['phase']}, {status.get('readyInstances', 0)} of {wanted} instances are ready"
    if status["currentPrimary"] != status["targetPrimary"]:
        return f"{status['targetPrimary']} is to take over from {status['currentPrimary']}"
    followers = standbys(kube)
    if len(followers) < wanted - 1:
        return f"{len(followers)} of {wanted - 1} standbys have a pod"
    return not_streaming(kube, followers)


def not_streaming(kube: Kube, wanted: Sequence[str]) -> str | None:
    """Which of some standbys do not stream from the primary; `None` when all do."""
    try:
        away = set(wanted) - streaming_standbys(kube, current_primary(kube))
    except KubectlError as error:
        return str(error)
    return f"{', '.join(sorted(away))} does not stream" if away else None


def streams_since(kube: Kube, standby: str) -> float:
    """When the connection that a standby streams over began, by the primary's clock, in seconds since 1970."""
    statement = "SELECT application_name, extract(epoch FROM backend_start) FROM pg_stat_replication"
    since = dict(line.split("|") for line in sql(kube, current_primary(kube), statement).splitlines())
    return float(since[standby])


def create_rows_table(kube: Kube) -> None:
    """The table that the clients write to, empty."""
    statement = """
        DROP TABLE IF EXISTS fault_rows;
        CREATE TABLE fault_rows (
            client text, number int, timeline text, at timestamptz, PRIMARY KEY (client, number)
        );
        GRANT SELECT, INSERT ON fault_rows TO PUBLIC
    """
    sql(kube, current_primary(kube), statement, database(kube))


def drop_rows_table(kube: Kube) -> None:
    """Nothing is left of it."""
    sql(kube, current_primary(kube), "DROP TABLE IF EXISTS fault_rows", database(kube))


def database(kube: Kube) -> str:
    """Name of the application's database."""
    [how] = cluster(kube)["spec"]["bootstrap"].values()
    return how["database"]


def _still_ready(kube: Kube, instances: Sequence[str]) -> str | None:
    ready = {pod["metadata"]["name"] for pod in kube.ready_pods(INSTANCES)}
    still = sorted(ready & set(instances))
    return f"{', '.join(still)} is still ready" if still else None
