"""The bodies of CloudNativePG's objects: pure functions of the settings. Field names are those of its API, 1.30."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pulumi

from components.endpoints import Relabeling, S3Endpoint, SecretKey
from components.model import Spread, to_bytes
from components.postgres_settings import (
    MONITOR_ROLE,
    Backup,
    CloudNativePgSettings,
    Failover,
    PostgresSettings,
    Recovery,
    Storage,
    SynchronousReplication,
)

API = "postgresql.cnpg.io/v1"
BARMAN_API = "barmancloud.cnpg.io/v1"
NAME = "hot-postgres"
POD_LABELS = {"cnpg.io/cluster": NAME}
STATUS_PORT = 8000
METRICS_PORT = 9187
RELABELINGS: Sequence[Relabeling] = (
    # Every parameter of every instance: two thirds of its series, of which only the limits (`max_…`) are of use.
    {
        "source_labels": ["__name__", "name"],
        "regex": "cnpg_pg_settings_setting;([^m].*|m[^a].*)",
        "action": "drop",
    },
)
"""Of the metrics as they are read."""
RELOAD_LABEL = {"cnpg.io/reload": "true"}
"""A Secret with it is read again as soon as it changes."""
OWN_STORE = NAME
ORIGIN_STORE = f"{NAME}-origin"
_BARMAN_PLUGIN = "barman-cloud.cloudnative-pg.io"
_ORIGIN = "origin"

Body = dict[str, Any]


def healthy(instances: int) -> dict[str, str]:
    """The annotation by which Pulumi waits for all `instances`, and shows the operator's own words meanwhile.

    The status of a Cluster says nothing of the generation that it belongs to. The count is therefore asked for beside
    the phase, so that a scaling is waited for; an update that restarts instances may be seen as done before it begins.
    """
    conditions = [
        "jsonpath={.status.phase}=Cluster in healthy state",
        f"jsonpath={{.status.readyInstances}}={instances}",
    ]
    return {"pulumi.com/waitFor": json.dumps(conditions)}


def applied() -> dict[str, str]:
    """The annotation by which Pulumi waits until the primary has made a `Database` what it is said to be."""
    return {"pulumi.com/waitFor": "jsonpath={.status.applied}=true"}


def cluster_spec(
    settings: PostgresSettings,
    own: CloudNativePgSettings,
    image: str,
    server_names: Sequence[pulumi.Input[str]] = (),
    bucket: S3Endpoint | None = None,
) -> Body:
    """The spec of the `Cluster`.

    Args:
        settings: of the component.
        own: the part of them for this engine.
        image: reference of PostgreSQL's image.
        server_names: DNS names that the server's certificate holds beside those of the cluster's Services.
        bucket: where backups are, for settings with `backup` or `recovery`.
    """
    failover = own.failover
    spec: Body = {
        "instances": settings.instances,
        "imageName": image,
        # What runs was pulled or imported under a tag that never means anything else.
        "imagePullPolicy": "IfNotPresent",
        "enableSuperuserAccess": True,
        "superuserSecret": {"name": f"{NAME}-auth"},
        "bootstrap": bootstrap(settings, own.recovery),
        "storage": storage(settings.storage),
        "resources": resources(settings),
        "postgresql": {
            "parameters": parameters(settings),
            "pg_hba": list(PG_HBA),
            **synchronous(settings.synchronous),
        },
        "managed": {"roles": [monitor_role()]},
        # Shorter than a scrape interval: what is scraped is new, and rules can tell an instance that has gone silent.
        "monitoring": {"metricsQueriesTTL": "10s"},
        "affinity": affinity(settings.spread, own.node_selector),
        "topologySpreadConstraints": [zone_spread(own.zones)],
        # A standby takes over while the primary is made anew; alone, it is restarted.
        "primaryUpdateMethod": "switchover" if settings.instances > 1 else "restart",
        **timing(failover),
    }
    if server_names:
        spec["certificates"] = {"serverAltDNSNames": list(server_names)}
    if own.wal_storage is not None:
        spec["walStorage"] = storage(own.wal_storage)
    if bucket is not None:
        spec |= archive(own, bucket)
    return spec


PG_HBA = (
    # After the operator's own rules (peer on its socket, certificates for replication), before its `host all all all`.
    "hostssl all all all scram-sha-256",
    "host all all all reject",
)


def bootstrap(settings: PostgresSettings, recovery: Recovery | None) -> Body:
    """What a new cluster begins with; either way the application's database, role and password are those of today."""
    application = {
        "database": settings.database,
        "owner": settings.owner,
        "secret": {"name": f"{NAME}-app"},
    }
    if recovery is None:
        return {"initdb": {**application, "dataChecksums": True, "encoding": "UTF8"}}
    target = {} if recovery.target_time is None else {"recoveryTarget": {"targetTime": moment(recovery.target_time)}}
    return {"recovery": {**application, "source": _ORIGIN, **target}}


def moment(text: str) -> str:
    """A moment as RFC 3339 has it: `moment("2026-01-31 12:00:00Z") == "2026-01-31T12:00:00+00:00"`."""
    return datetime.fromisoformat(text).isoformat()


def storage(volume: Storage) -> Body:
    """A volume of each instance."""
    return {
        "size": volume.size,
        **({} if volume.storage_class is None else {"storageClass": volume.storage_class}),
    }


def resources(settings: PostgresSettings) -> Body:
    """Requests and limits of each instance."""
    own = settings.resources
    fixed = {"memory": own.memory, "ephemeral-storage": own.ephemeral_storage}
    return {"requests": {"cpu": own.cpu, **fixed}, "limits": {"cpu": own.cpu_limit, **fixed}}


def parameters(settings: PostgresSettings) -> dict[str, str]:
    """postgresql.conf: what follows from the other settings, and the user's own on top."""
    shared_buffers = to_bytes(settings.resources.memory) // 4 // 1024
    return {
        "max_connections": str(settings.max_connections),
        "shared_buffers": f"{shared_buffers}kB",
        **settings.parameters,
    }


def synchronous(wanted: SynchronousReplication) -> Body:
    """The `synchronous` part of `postgresql`; nothing for asynchronous replication."""
    if wanted.method == "none":
        return {}
    return {
        "synchronous": {
            "method": wanted.method,
            "number": wanted.number,
            "dataDurability": wanted.data_durability,
            "failoverQuorum": wanted.failover_quorum,
        }
    }


def monitor_role() -> Body:
    """The role for exporters and for Pgpool's checks: it may read all statistics, and no data."""
    return {
        "name": MONITOR_ROLE,
        "ensure": "present",
        "comment": "reads statistics",
        "login": True,
        "inRoles": ["pg_monitor"],
        "passwordSecret": {"name": f"{NAME}-monitor"},
    }


def affinity(spread: Spread, node_selector: Mapping[str, str]) -> Body:
    """Instances on different nodes, if possible or in any case."""
    return {
        "enablePodAntiAffinity": True,
        "topologyKey": "kubernetes.io/hostname",
        "podAntiAffinityType": "required" if spread == "hard" else "preferred",
        **({"nodeSelector": dict(node_selector)} if node_selector else {}),
    }


def zone_spread(zones: Spread) -> Body:
    """Instances in different zones, if possible or in any case."""
    return {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "DoNotSchedule" if zones == "hard" else "ScheduleAnyway",
        "labelSelector": {"matchLabels": POD_LABELS},
    }


def timing(failover: Failover) -> Body:
    """How long an outage may be. The operator's defaults are for safety at any price: up to an hour."""
    return {
        "failoverDelay": failover.delay_seconds,
        "switchoverDelay": failover.switchover_delay_seconds,
        "smartShutdownTimeout": failover.smart_shutdown_seconds,
        "stopDelay": failover.stop_delay_seconds,
        "livenessProbeTimeout": failover.liveness_timeout_seconds,
        "probes": {
            "readiness": {
                "periodSeconds": failover.readiness_period_seconds,
                "failureThreshold": failover.readiness_failures,
            }
        },
        "primaryLease": {
            "leaseDurationSeconds": failover.lease_seconds,
            "renewDeadlineSeconds": failover.lease_renew_seconds,
            "retryPeriodSeconds": failover.lease_retry_seconds,
        },
    }


def archive(own: CloudNativePgSettings, bucket: S3Endpoint) -> Body:
    """The parts of the spec that have to do with the bucket."""
    parts: Body = {}
    methods = {part.method for part in (own.backup, own.recovery) if part is not None}
    if own.backup is not None and own.backup.method == "in_tree":
        parts["backup"] = {
            "retentionPolicy": own.backup.retention,
            "barmanObjectStore": {**object_store(bucket, own.backup), "serverName": own.backup.server_name},
        }
    if own.backup is not None and own.backup.method == "plugin":
        plugin = barman_plugin(OWN_STORE, own.backup.server_name)
        parts["plugins"] = [{**plugin, "isWALArchiver": True}]
    if own.recovery is not None:
        parts["externalClusters"] = [{"name": _ORIGIN, **origin(own.recovery, bucket)}]
    if "in_tree" in methods:
        # barman-cloud runs in PostgreSQL's own container, and signs its requests for this region.
        parts["env"] = [{"name": "AWS_DEFAULT_REGION", "value": bucket.region}]
    if methods and bucket.client_label is not None:
        # What the bucket's NetworkPolicy lets in.
        parts["inheritedMetadata"] = {"labels": dict([bucket.client_label])}
    return parts


def origin(recovery: Recovery, bucket: S3Endpoint) -> Body:
    """Where the backups of the other cluster are, as an entry of `externalClusters`."""
    if recovery.method == "plugin":
        return {"plugin": barman_plugin(ORIGIN_STORE, recovery.server_name)}
    return {"barmanObjectStore": {**object_store(bucket, None), "serverName": recovery.server_name}}


def barman_plugin(store: str, server_name: str) -> Body:
    """The Barman Cloud plugin at work on an `ObjectStore`."""
    return {"name": _BARMAN_PLUGIN, "parameters": {"barmanObjectName": store, "serverName": server_name}}


def object_store(bucket: S3Endpoint, backup: Backup | None) -> Body:
    """A bucket as Barman Cloud is told of it; how to write there only with `backup`."""
    store: Body = {
        "destinationPath": f"s3://{bucket.bucket}/",
        **({} if bucket.url is None else {"endpointURL": bucket.url}),
        "s3Credentials": {
            "accessKeyId": secret_key(bucket.access_key_id),
            "secretAccessKey": secret_key(bucket.secret_access_key),
        },
    }
    if backup is None:
        return store
    how: Body = {}
    if backup.compression != "none":
        how["compression"] = backup.compression
    if backup.encryption != "none":
        how["encryption"] = backup.encryption
    # A backup that waits for the next checkpoint of a quiet database would take minutes to begin.
    return {**store, "wal": how, "data": {**how, "immediateCheckpoint": True}}


def object_store_spec(bucket: S3Endpoint, backup: Backup | None) -> Body:
    """The spec of the plugin's `ObjectStore`."""
    return {
        "configuration": object_store(bucket, backup),
        **({} if backup is None else {"retentionPolicy": backup.retention}),
        "instanceSidecarConfiguration": {"env": [{"name": "AWS_DEFAULT_REGION", "value": bucket.region}]},
    }


def secret_key(reference: SecretKey) -> Body:
    """A key of a Secret, by reference."""
    return {"name": reference.name, "key": reference.key}


def scheduled_backup_spec(backup: Backup) -> Body:
    """The spec of the `ScheduledBackup`; what it made goes with it, in Kubernetes alone and not in the bucket."""
    method = (
        {"method": "plugin", "pluginConfiguration": {"name": _BARMAN_PLUGIN}}
        if backup.method == "plugin"
        else {"method": "barmanObjectStore"}
    )
    return {
        "cluster": {"name": NAME},
        "schedule": backup.schedule,
        "immediate": backup.immediate,
        "backupOwnerReference": "self",
        "target": backup.target,
        **method,
    }


def database_spec(settings: PostgresSettings) -> Body:
    """The spec of the `Database` of the application; its data stays when the object goes."""
    return {
        "cluster": {"name": NAME},
        "name": settings.database,
        "owner": settings.owner,
        "ensure": "present",
        "databaseReclaimPolicy": "retain",
    }
