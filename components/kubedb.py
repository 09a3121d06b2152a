"""The bodies of KubeDB's objects: pure functions of the settings. Field names are those of `kubedb.com/v1`."""

from typing import Any

from components.kube.scheduling import resource_requirements
from components.postgres_settings import MONITOR_ROLE, KubeDbSettings, PostgresSettings

API = "kubedb.com/v1"
NAME = "hot-postgres"
POD_LABELS = {"app.kubernetes.io/name": "postgreses.kubedb.com", "app.kubernetes.io/instance": NAME}
COORDINATOR_PORTS = (2379, 2380)
METRICS_PORT = 56790

READY = {"pulumi.com/waitFor": "jsonpath={.status.phase}=Ready"}
"""The annotation by which Pulumi waits until KubeDB finds the database well."""

Body = dict[str, Any]


def postgres_spec(settings: PostgresSettings, own: KubeDbSettings) -> Body:
    """The spec of the `Postgres`.

    Args:
        settings: of the component.
        own: the part of them for this engine.
    """
    storage_class = settings.storage.storage_class
    return {
        "version": own.version,
        "replicas": settings.instances,
        "standbyMode": own.standby_mode,
        **streaming(settings),
        "authSecret": {"kind": "Secret", "name": f"{NAME}-auth", "externallyManaged": True},
        "clientAuthMode": own.client_auth_mode,
        "sslMode": own.ssl_mode,
        **tls(own),
        "storageType": own.storage_type,
        "storage": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": settings.storage.size}},
            **({} if storage_class is None else {"storageClassName": storage_class}),
        },
        "deletionPolicy": "DoNotTerminate" if settings.protect else own.deletion_policy,
        "configuration": {"inline": {"user.conf": user_conf(settings)}},
        "init": {"script": {"secret": {"secretName": f"{NAME}-init"}}},
        "podTemplate": {
            "spec": {
                "containers": [{"name": "postgres", "resources": resource_requirements(settings.resources)}],
                "topologySpreadConstraints": spread(settings),
            }
        },
    }


def streaming(settings: PostgresSettings) -> Body:
    """How standbys follow; a single instance has none."""
    wanted = settings.synchronous
    if wanted.method == "none":
        return {"streamingMode": "Asynchronous"}
    return {
        "streamingMode": "Synchronous",
        "synchronousReplicationConfig": {"mode": wanted.method.capitalize(), "numSyncReplicas": wanted.number},
    }


def tls(own: KubeDbSettings) -> Body:
    """The certificate, by cert-manager."""
    if own.issuer is None:
        return {}
    return {"tls": {"issuerRef": {"apiGroup": "cert-manager.io", "kind": "Issuer", "name": own.issuer}}}


def user_conf(settings: PostgresSettings) -> str:
    """postgresql.conf, as far as it is not KubeDB's own."""
    values = {"max_connections": str(settings.max_connections), **settings.parameters}
    return "".join(f"{name} = '{_quoted(value)}'\n" for name, value in values.items())


def _quoted(value: str) -> str:
    return value.replace("'", "''")


def spread(settings: PostgresSettings) -> list[Body]:
    """Pods on different nodes, if possible or in any case."""
    return [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "DoNotSchedule" if settings.spread == "hard" else "ScheduleAnyway",
            "labelSelector": {"matchLabels": POD_LABELS},
        }
    ]


def init_sql(settings: PostgresSettings, application_password: str, monitor_password: str) -> str:
    """What KubeDB runs once, in a new database: it knows no other role than the superuser.

    The passwords are letters and digits, and the names need no quotes.
    """
    return (
        f"CREATE ROLE {settings.owner} LOGIN PASSWORD '{application_password}';\n"
        f"CREATE DATABASE {settings.database} OWNER {settings.owner};\n"
        f"CREATE ROLE {MONITOR_ROLE} LOGIN PASSWORD '{monitor_password}' IN ROLE pg_monitor;\n"
    )
