"""Checks of PostgreSQL's backups: one is made, and a new cluster is brought to a moment of the past by them."""

import json
import secrets
from collections.abc import Generator
from contextlib import contextmanager

from checks.kube import Kube, KubectlError, Object
from checks.outcome import CheckError, NotApplicableError, eventually
from checks.postgres import CLUSTER, cluster, current_primary, sql
from checks.stack import Stack
from components.cloudnative_pg import API, NAME
from components.postgres_settings import PostgresSettings

BACKUP = "backups.postgresql.cnpg.io"
SCHEDULED_BACKUP = "scheduledbackups.postgresql.cnpg.io"
ARCHIVE_SECONDS = 90.0  # PostgreSQL tries again after a minute where the bucket was away
BACKUP_SECONDS = 300.0
RESTORE_SECONDS = 300.0
REMOVAL_SECONDS = 120.0
# What a copy needs to run on the same data; nothing that writes to the bucket, and nothing of its standbys.
_COPIED = (
    *("imageName", "imageCatalogRef", "imagePullPolicy", "imagePullSecrets", "storage", "walStorage", "resources"),
    *("env", "inheritedMetadata", "affinity"),
)
_MOMENT = """to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


def backup(stack: Stack) -> str:
    """The write-ahead log reaches the bucket, and so does a backup that is asked for now."""
    bucket = _bucket(stack)
    archive(stack, bucket)
    name = f"{NAME}-check-{secrets.token_hex(4)}"
    planned = stack.kube.get(SCHEDULED_BACKUP, NAME)["spec"]
    spec = {key: planned[key] for key in ("cluster", "method", "target", "pluginConfiguration") if key in planned}
    _create(stack.kube, "Backup", name, spec)
    eventually(lambda: _unfinished(stack.kube, name, bucket), BACKUP_SECONDS, pause=1)
    status = stack.kube.get(BACKUP, name)["status"]
    return f"{name} of {status['instanceID']['podName']} in bucket {bucket}, ended at {status['stoppedAt']}"


def restore_point_in_time(stack: Stack) -> str:
    """A new cluster from the backups has the row from before a moment, and not the one from after it."""
    kube, settings = stack.kube, stack.settings.postgres
    bucket = _bucket(stack)
    # The first backup of a new stack is under way when `up` ends.
    eventually(lambda: _nothing_to_restore(kube, bucket), BACKUP_SECONDS)
    table = f"hotstack_check_{secrets.token_hex(8)}"
    # Each statement is a transaction of its own, and the moment lies between the two rows.
    script = f"""
        CREATE TABLE {table} AS SELECT 'before' AS note;
        SELECT {_MOMENT};
        INSERT INTO {table} VALUES ('after');
    """  # noqa: S608 - our own name
    try:
        moment = sql(kube, current_primary(kube), script, settings.database)
        archive(stack, bucket)
        with _recovered(kube, settings, moment) as pod:
            rows = sql(kube, pod, f"SELECT string_agg(note, ', ') FROM {table}", settings.database)  # noqa: S608 - our own name
    finally:
        sql(kube, current_primary(kube), f"DROP TABLE IF EXISTS {table}", settings.database)
    if rows != "before":
        raise CheckError(f"a cluster recovered to {moment} has the rows {rows!r}: expected 'before', and no other")
    return f"a cluster recovered to {moment} has the row from before, and not the one from after"


def _bucket(stack: Stack) -> str:
    """The name of the stack's bucket.

    Raises:
        NotApplicableError: it makes no backups.
    """
    own = stack.settings.postgres.cloudnative_pg
    if own is None or own.backup is None:
        raise NotApplicableError("the stack makes no backups of PostgreSQL")
    if stack.settings.object_store is not None:
        return stack.settings.object_store.bucket
    if stack.settings.bucket is not None:
        return stack.settings.bucket.name
    raise ValueError("settings with backups and without a bucket")


def archive(stack: Stack, bucket: str) -> None:
    """Have all that was written until now in the bucket; by itself that would take up to `archive_timeout`.

    Raises:
        CheckError: it did not get there, with the operator's reason and the uploading program's own words.
    """
    kube, primary = stack.kube, current_primary(stack.kube)
    # A file of the log is only closed when there is something in it.
    sql(kube, primary, "SELECT pg_create_restore_point('hotstack-check')")
    closed = sql(kube, primary, "SELECT pg_walfile_name(pg_switch_wal())")

    def missing() -> str | None:
        last = sql(kube, primary, "SELECT last_archived_wal FROM pg_stat_archiver")
        return None if last >= closed else f"the write-ahead log does not get into bucket {bucket}"

    try:
        eventually(missing, ARCHIVE_SECONDS, pause=1)
    except CheckError as error:
        raise CheckError(f"{error}: {_archiver_says(kube, primary)}") from None


def _archiver_says(kube: Kube, primary: str) -> str:
    conditions = cluster(kube).get("status", {}).get("conditions", [])
    said = [condition["message"] for condition in conditions if condition["type"] == "ContinuousArchiving"]
    # With method `in_tree`, Barman Cloud runs beside PostgreSQL, and its own words stand in the same log.
    messages = [entry["msg"] for entry in _log(kube, primary) if entry.get("logger", "").startswith("barman-cloud")]
    said += [message.partition("ERROR: ")[2] for message in messages if "ERROR: " in message][-1:]
    return "; ".join(said) or "nothing was tried yet"


def _log(kube: Kube, *source: str) -> list[Object]:
    """What pods of the operator wrote in the last minutes, an object a line; nothing of pods that are only starting."""
    try:
        lines = kube.run("logs", *source, "--all-containers", "--since=5m", "--tail=-1").splitlines()
    except KubectlError:
        return []
    return [json.loads(line) for line in lines if line.startswith("{")]


def _create(kube: Kube, kind: str, name: str, spec: Object) -> None:
    manifest = {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}
    kube.run("create", "--filename=-", stdin=json.dumps(manifest))


def _unfinished(kube: Kube, name: str, bucket: str) -> str | None:
    status = kube.get(BACKUP, name).get("status", {})
    phase = status.get("phase", "not begun")
    if phase == "failed":
        raise CheckError(f"backup {name} to bucket {bucket} failed: {status.get('error', 'no reason given')}")
    return None if phase == "completed" else f"backup {name} to bucket {bucket} is {phase}"


def _nothing_to_restore(kube: Kube, bucket: str) -> str | None:
    phases = [
        item.get("status", {}).get("phase") for item in kube.objects(BACKUP) if item["spec"]["cluster"]["name"] == NAME
    ]
    return None if "completed" in phases else f"no backup of {NAME} in bucket {bucket} is complete"


@contextmanager
def _recovered(kube: Kube, settings: PostgresSettings, moment: str) -> Generator[str, None, None]:
    """A cluster of one instance as the stack's was at `moment`, removed after the block; yields its pod."""
    name = f"{NAME}-pitr-{secrets.token_hex(3)}"
    _create(kube, "Cluster", name, recovered_spec(cluster(kube)["spec"], settings, moment))
    try:
        try:
            eventually(lambda: _unready(kube, name), RESTORE_SECONDS, pause=2)
        except CheckError as error:
            raise CheckError(f"{error}: {_recovery_says(kube, name)}") from None
        yield kube.get(CLUSTER, name)["status"]["currentPrimary"]
    finally:
        kube.run("delete", CLUSTER, name, "--wait=false")
        eventually(lambda: _remains(kube, name), REMOVAL_SECONDS, pause=1)


def recovered_spec(spec: Object, settings: PostgresSettings, moment: str) -> Object:
    """The spec of a cluster that begins as another one was.

    Args:
        spec: of the other cluster's `Cluster`.
        settings: the `hotstack:postgres` part of the stack file.
        moment: as RFC 3339 has it, with microseconds.
    """
    if spec.get("plugins"):
        source = {"plugin": {key: spec["plugins"][0][key] for key in ("name", "parameters")}}
    else:
        source = {"barmanObjectStore": {"serverName": NAME, **spec["backup"]["barmanObjectStore"]}}
    return {
        **{key: spec[key] for key in _COPIED if key in spec},
        "instances": 1,
        "bootstrap": {
            "recovery": {
                "source": "origin",
                "database": settings.database,
                "owner": settings.owner,
                "recoveryTarget": {"targetTime": moment},
            }
        },
        "externalClusters": [{"name": "origin", **source}],
        "postgresql": {
            # Recovery asks for limits at least as high as where the log was written.
            "parameters": spec["postgresql"]["parameters"],
            # No NetworkPolicy is for its pod: nobody comes in but by its own socket.
            "pg_hba": ["host all all all reject"],
        },
    }


def _unready(kube: Kube, name: str) -> str | None:
    status = kube.get(CLUSTER, name).get("status", {})
    if status.get("readyInstances") == 1 and status.get("currentPrimary"):
        return None
    return f"{name} is not restored, but in the phase {status.get('phase', 'none yet')!r}"


def _recovery_says(kube: Kube, name: str) -> str:
    entries = _log(kube, f"--selector=cnpg.io/cluster={name}")
    return next((entry["error"] for entry in reversed(entries) if "error" in entry), "no error is logged")


def _remains(kube: Kube, name: str) -> str | None:
    found = kube.run("get", "pods,persistentvolumeclaims", f"--selector=cnpg.io/cluster={name}", "--output=name")
    return f"of {name} there is still {', '.join(found.split())}" if found else None
