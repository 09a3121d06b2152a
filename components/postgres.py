"""PostgreSQL with hot standbys, by one of two operators behind the same endpoints."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.core.v1 import Secret
from pulumi_kubernetes.meta.v1 import ObjectMetaArgsDict
from pulumi_kubernetes.networking.v1 import NetworkPolicy, NetworkPolicyIngressRuleArgsDict

from components import cloudnative_pg, cloudnative_pg_operator, kubedb, postgres_changes
from components.cloudnative_pg_operator import Release
from components.endpoints import Login, MetricsEndpoint, PostgresEndpoint, S3Endpoint, SecretKey
from components.kube.labels import labels
from components.kube.network import allow, ingress_policy, namespace, pods
from components.kube.passwords import generated_password
from components.kube.rollout import timeouts
from components.postgres_settings import (
    MONITOR_ROLE,
    Backup,
    CloudNativePgSettings,
    KubeDbSettings,
    PostgresSettings,
)

APP = "postgres"
SUPERUSER = "postgres"
NAME = "hot-postgres"
PORT = 5432
CLIENT_LABEL = ("postgres-client", "true")
AUTH, APPLICATION, MONITOR = f"{NAME}-auth", f"{NAME}-app", f"{NAME}-monitor"
"""Names of the Secrets of the superuser, the application and monitoring; type `kubernetes.io/basic-auth`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PostgresHAArgs:
    """What `PostgresHA` needs.

    Attributes:
        settings: the `hotstack:postgres` part of the stack file.
        image: reference of PostgreSQL's image; `None` with engine `kubedb`, whose catalog knows it.
        namespace: name of an existing namespace.
        scraper_namespace: the namespace whose pods may read metrics.
        release: of the operator to install; `None` where one is present.
        operator_image: to run instead of the release's own.
        bucket: where backups are; needed for settings with `backup` or `recovery`.
        server_names: DNS names that clients use beside those of the cluster's own Services, for its certificate.
    """

    settings: PostgresSettings
    image: str | None
    namespace: pulumi.Input[str]
    scraper_namespace: str
    release: Release | None = None
    operator_image: str | None = None
    bucket: S3Endpoint | None = None
    server_names: Sequence[pulumi.Input[str]] = ()


class PostgresHA(pulumi.ComponentResource):
    """PostgreSQL: one primary, and standbys that take over by themselves.

    Attributes:
        primary: where to write.
        replicas: the standbys, where to read what may be a moment old; `None` for a single instance.
        instances: how many there are in all.
        metrics: where the figures of all of them are; `None` for KubeDB's, which have other names.
    """

    primary: PostgresEndpoint
    replicas: PostgresEndpoint | None
    instances: int
    metrics: MetricsEndpoint | None

    def __init__(self, name: str, args: PostgresHAArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("hotstack:index:PostgresHA", name, {"engine": args.settings.engine}, opts)
        self._name = name
        self._args = args
        self._child = pulumi.ResourceOptions(parent=self)
        self.instances = args.settings.instances
        self.metrics = None
        secrets = self._logins()
        if args.settings.cloudnative_pg is not None:
            self.primary, self.replicas = self._by_cloudnative_pg(args.settings.cloudnative_pg, secrets)
        if args.settings.kubedb is not None:
            self.primary, self.replicas = self._by_kubedb(args.settings.kubedb, secrets)
        self.register_outputs({"host": self.primary.host, "port": PORT})

    def _by_cloudnative_pg(
        self, own: CloudNativePgSettings, secrets: list[pulumi.Resource]
    ) -> tuple[PostgresEndpoint, PostgresEndpoint | None]:
        args, settings, bucket = self._args, self._args.settings, self._args.bucket
        operator, operator_namespace = [], own.operator.namespace
        if args.release is not None:
            operator_namespace = args.release.namespace
            operator = cloudnative_pg_operator.install(self._name, args.release, args.operator_image, self)
        policy = self._policy(cloudnative_pg_rules(operator_namespace, args.scraper_namespace))
        stores = [] if bucket is None else self._object_stores(own, bucket)
        cluster = self._custom(
            "cluster",
            cloudnative_pg.API,
            "Cluster",
            {"name": NAME, "annotations": cloudnative_pg.healthy(settings.instances)},
            cloudnative_pg.cluster_spec(settings, own, str(args.image), args.server_names, bucket),
            pulumi.ResourceOptions(
                depends_on=[*secrets, *operator, policy, *stores],
                hooks=postgres_changes.refuse(f"{self._name}-cluster-changes", postgres_changes.of_cluster),
            ),
        )
        database = self._custom(
            "database",
            cloudnative_pg.API,
            "Database",
            {"name": f"{NAME}-{settings.database}".replace("_", "-"), "annotations": cloudnative_pg.applied()},
            cloudnative_pg.database_spec(settings),
            # Deleted before the cluster, whose primary must let go of it: its finalizer would stay for ever.
            pulumi.ResourceOptions(depends_on=[cluster]),
        )
        if own.backup is not None:
            self._scheduled_backup(own.backup, cluster)
        self.metrics = MetricsEndpoint(
            job=APP,
            namespace=args.namespace,
            pods=cloudnative_pg.POD_LABELS,
            service=None,
            port=cloudnative_pg.METRICS_PORT,
            port_name="metrics",
            relabelings=cloudnative_pg.RELABELINGS,
        )
        # The operator's own secret; its other key, which signs, is nobody's to mount.
        endpoint = self._endpoint(f"{NAME}-rw", [cluster, database], SecretKey(name=f"{NAME}-ca", key="ca.crt"))
        return endpoint, self._standbys(endpoint, f"{NAME}-ro")

    def _by_kubedb(
        self, own: KubeDbSettings, secrets: list[pulumi.Resource]
    ) -> tuple[PostgresEndpoint, PostgresEndpoint | None]:
        settings = self._args.settings
        policy = self._policy(kubedb_rules(own.operator_namespace, self._args.scraper_namespace))
        postgres = self._custom(
            "postgres",
            kubedb.API,
            "Postgres",
            {"name": NAME, "annotations": kubedb.READY},
            kubedb.postgres_spec(settings, own),
            pulumi.ResourceOptions(
                depends_on=[*secrets, policy],
                hooks=postgres_changes.refuse(f"{self._name}-postgres-changes", postgres_changes.of_postgres),
            ),
        )
        # cert-manager's, by way of KubeDB.
        ca = None if own.ssl_mode == "disable" else SecretKey(name=f"{NAME}-server-cert", key="ca.crt")
        endpoint = self._endpoint(NAME, [postgres], ca)
        return endpoint, self._standbys(endpoint, f"{NAME}-standby")

    def _logins(self) -> list[pulumi.Resource]:
        settings, auth = self._args.settings, self._args.settings.auth
        superuser = generated_password(f"{self._name}-superuser-password", auth.superuser_rotation, self._child)
        application = generated_password(f"{self._name}-application-password", auth.application_rotation, self._child)
        monitor = generated_password(f"{self._name}-monitor-password", auth.monitor_rotation, self._child)
        secrets: list[pulumi.Resource] = [
            self._login("auth", AUTH, SUPERUSER, superuser.result),
            self._login("application", APPLICATION, settings.owner, application.result),
            self._login("monitor", MONITOR, MONITOR_ROLE, monitor.result),
        ]
        if settings.kubedb is not None:
            sql = pulumi.Output.all(application.result, monitor.result).apply(
                lambda passwords: kubedb.init_sql(settings, *passwords)
            )
            metadata = self._metadata({"name": f"{NAME}-init"})
            secrets += [
                Secret(f"{self._name}-init", metadata=metadata, string_data={"init.sql": sql}, opts=self._child)
            ]
        return secrets

    def _login(self, what: str, object_name: str, role: str, password: pulumi.Output[str]) -> Secret:
        metadata = self._metadata({"name": object_name})
        metadata["labels"] = {**labels(APP, self._name), **cloudnative_pg.RELOAD_LABEL}
        opts = self._child
        if object_name == AUTH:
            # Both engines have this Secret, so it alone can tell that the engine is about to change.
            metadata["annotations"] = {postgres_changes.ENGINE_ANNOTATION: self._args.settings.engine}
            hooks = postgres_changes.refuse(f"{self._name}-engine-changes", postgres_changes.of_engine)
            opts = pulumi.ResourceOptions(parent=self, hooks=hooks)
        return Secret(
            f"{self._name}-{what}",
            metadata=metadata,
            type="kubernetes.io/basic-auth",
            string_data={"username": role, "password": password},
            opts=opts,
        )

    def _policy(self, rules: Sequence[NetworkPolicyIngressRuleArgsDict]) -> NetworkPolicy:
        engine = kubedb if self._args.settings.engine == "kubedb" else cloudnative_pg
        return NetworkPolicy(
            f"{self._name}-policy",
            metadata=self._metadata({"name": NAME}),
            spec=ingress_policy(engine.POD_LABELS, rules),
            opts=self._child,
        )

    def _object_stores(self, own: CloudNativePgSettings, bucket: S3Endpoint) -> list[pulumi.Resource]:
        wanted: dict[str, Backup | None] = {}
        if own.backup is not None and own.backup.method == "plugin":
            wanted[cloudnative_pg.OWN_STORE] = own.backup
        if own.recovery is not None and own.recovery.method == "plugin":
            wanted[cloudnative_pg.ORIGIN_STORE] = None
        stores: list[pulumi.Resource] = [
            self._custom(
                f"store-{object_name.removeprefix(NAME).strip('-') or 'own'}",
                cloudnative_pg.BARMAN_API,
                "ObjectStore",
                {"name": object_name},
                cloudnative_pg.object_store_spec(bucket, backup),
                pulumi.ResourceOptions(depends_on=bucket.workloads),
            )
            for object_name, backup in wanted.items()
        ]
        return [*bucket.workloads, *stores]

    def _scheduled_backup(self, backup: Backup, cluster: pulumi.Resource) -> None:
        self._custom(
            "backup",
            cloudnative_pg.API,
            "ScheduledBackup",
            {"name": NAME},
            cloudnative_pg.scheduled_backup_spec(backup),
            pulumi.ResourceOptions(depends_on=[cluster]),
        )

    def _custom(
        self,
        what: str,
        api: str,
        kind: str,
        metadata: ObjectMetaArgsDict,
        spec: cloudnative_pg.Body,
        opts: pulumi.ResourceOptions,
    ) -> CustomResource:
        settings = self._args.settings
        holds_data = kind in ("Cluster", "Postgres")
        common = pulumi.ResourceOptions(
            parent=self,
            custom_timeouts=timeouts(settings.rollout_timeout_seconds),
            protect=(holds_data and settings.protect) or None,
        )
        return CustomResource(
            f"{self._name}-{what}",
            api_version=api,
            kind=kind,
            metadata=self._metadata(metadata),
            spec=spec,
            opts=pulumi.ResourceOptions.merge(common, opts),
        )

    def _metadata(self, more: ObjectMetaArgsDict) -> ObjectMetaArgsDict:
        return {"namespace": self._args.namespace, "labels": labels(APP, self._name), **more}

    def _endpoint(self, service: str, workloads: Sequence[pulumi.Resource], ca: SecretKey | None) -> PostgresEndpoint:
        settings = self._args.settings
        return PostgresEndpoint(
            host=pulumi.Output.concat(service, ".", self._args.namespace, ".svc"),
            port=PORT,
            database=settings.database,
            application=Login(secret=APPLICATION, role=settings.owner),
            superuser=Login(secret=AUTH, role=SUPERUSER),
            monitor=Login(secret=MONITOR, role=MONITOR_ROLE),
            logins_key=settings.logins_key,
            ca=ca,
            client_label=CLIENT_LABEL,
            workloads=workloads,
        )

    def _standbys(self, primary: PostgresEndpoint, service: str) -> PostgresEndpoint | None:
        if self.instances == 1:
            return None
        return replace(primary, host=pulumi.Output.concat(service, ".", self._args.namespace, ".svc"))


def cloudnative_pg_rules(operator: str, scraper: str) -> list[NetworkPolicyIngressRuleArgsDict]:
    """Who may reach CloudNativePG's pods: each other, clients, the operator's and the scraper's namespace."""
    each_other, clients = pods(cloudnative_pg.POD_LABELS), pods(dict([CLIENT_LABEL]))
    return [
        allow(PORT, [each_other, clients, namespace(operator)]),
        allow(cloudnative_pg.STATUS_PORT, [each_other, namespace(operator)]),
        allow(cloudnative_pg.METRICS_PORT, [namespace(scraper)]),
    ]


def kubedb_rules(operator: str, scraper: str) -> list[NetworkPolicyIngressRuleArgsDict]:
    """Who may reach KubeDB's pods: each other, clients, the operator's and the scraper's namespace."""
    each_other, clients = pods(kubedb.POD_LABELS), pods(dict([CLIENT_LABEL]))
    coordinators = [allow(port, [each_other, namespace(operator)]) for port in kubedb.COORDINATOR_PORTS]
    return [
        allow(PORT, [each_other, clients, namespace(operator)]),
        *coordinators,
        allow(kubedb.METRICS_PORT, [namespace(scraper)]),
    ]
