"""Checks of PostgreSQL: asked by SQL, on the socket of each instance."""

import secrets

from checks.kube import Kube, KubectlError, Object
from checks.outcome import CheckError, NotApplicableError, eventually
from checks.stack import Stack
from components.postgres import NAME

CLUSTER = "clusters.postgresql.cnpg.io"
INSTANCES = f"cnpg.io/cluster={NAME},cnpg.io/podRole=instance"
REPLICATION_SECONDS = 10.0


def roles(stack: Stack) -> str:
    """One instance is the primary, all others are its standbys and stream from it, each in its own words."""
    instances = _instances(stack)
    recovering = {pod: sql(stack.kube, pod, "SELECT pg_is_in_recovery()") == "t" for pod in instances}
    primaries = [pod for pod, is_standby in recovering.items() if not is_standby]
    if len(primaries) != 1:
        raise CheckError(f"expected one primary, there are {len(primaries)} of {len(instances)} instances")
    standbys = sorted(set(instances) - set(primaries))
    streaming = streaming_standbys(stack.kube, primaries[0])
    if missing := sorted(set(standbys) - streaming):
        raise CheckError(f"{', '.join(missing)} does not stream from {primaries[0]}")
    return f"{primaries[0]} is the primary, {' and '.join(standbys) or 'nobody'} stream from it"


def replication(stack: Stack) -> str:
    """A row that is written on the primary is read on each standby."""
    kube, instances = stack.kube, _instances(stack)
    primary = current_primary(kube)
    standbys = [pod for pod in instances if pod != primary]
    if not standbys:
        raise NotApplicableError("postgres.instances is 1")
    table, value = f"hotstack_check_{secrets.token_hex(8)}", secrets.token_hex(8)
    sql(kube, primary, f"CREATE TABLE {table} AS SELECT '{value}' AS value")
    try:
        for pod in standbys:
            eventually(lambda pod=pod: _other_value(kube, pod, table, value), REPLICATION_SECONDS)
    finally:
        sql(kube, primary, f"DROP TABLE {table}")
    return f"a row of {primary} was read on {' and '.join(standbys)}"


def sql(kube: Kube, pod: str, statement: str, database: str = "postgres", timeout: float = 30.0) -> str:
    """What psql prints for one statement as the superuser on the socket of an instance; columns are parted by `|`.

    Raises:
        KubectlError: it failed, with PostgreSQL's message, or took longer than `timeout` seconds.
    """
    command = ("psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1")
    return kube.run(
        *("exec", "--stdin", "--container=postgres", pod, "--", *command, f"--dbname={database}"),
        stdin=statement,
        timeout=timeout,
    ).strip()


def cluster(kube: Kube) -> Object:
    """The `Cluster` of the stack."""
    return kube.get(CLUSTER, NAME)


def pods(kube: Kube) -> list[Object]:
    """The pods of its instances."""
    return kube.objects("pods", INSTANCES)


def current_primary(kube: Kube) -> str:
    """The instance that the operator has as the primary.

    Raises:
        CheckError: there is none yet.
    """
    primary = cluster(kube).get("status", {}).get("currentPrimary")
    if primary is None:
        raise CheckError(f"{NAME} has no primary yet")
    return primary


def streaming_standbys(kube: Kube, primary: str) -> set[str]:
    """The standbys that receive from `primary` right now, by their names."""
    return set(sql(kube, primary, "SELECT application_name FROM pg_stat_replication WHERE state = 'streaming'").split())


def _instances(stack: Stack) -> list[str]:
    settings = stack.settings.postgres
    if settings.engine != "cloudnative-pg":
        raise NotApplicableError(f"postgres.engine is {settings.engine}")
    found = sorted(pod["metadata"]["name"] for pod in pods(stack.kube))
    if len(found) != settings.instances:
        raise CheckError(f"expected {settings.instances} instances, there are {', '.join(found) or 'none'}")
    return found


def _other_value(kube: Kube, pod: str, table: str, value: str) -> str | None:
    try:
        found = sql(kube, pod, f"SELECT value FROM {table}")  # noqa: S608 - our own name
    except KubectlError as error:
        return f"{pod}: {error}"  # where the table has not arrived yet either
    return None if found == value else f"{pod} reads {found!r}"
