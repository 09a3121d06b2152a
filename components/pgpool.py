"""Pgpool-II: one address in front of a primary and its standbys, which pools connections and spreads reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pulumi
from pulumi_kubernetes.apps.v1 import Deployment, DeploymentStrategyArgsDict
from pulumi_kubernetes.core.v1 import (
    ConfigMap,
    ContainerArgsDict,
    EnvVarArgsDict,
    KeyToPathArgsDict,
    Secret,
    Service,
    ServiceAccount,
    ServiceSpecArgsDict,
    VolumeArgsDict,
    VolumeMountArgsDict,
    VolumeProjectionArgsDict,
)
from pulumi_kubernetes.meta.v1 import ObjectMetaArgsDict
from pulumi_kubernetes.networking.v1 import NetworkPolicy, NetworkPolicyIngressRuleArgsDict
from pulumi_kubernetes.policy.v1 import PodDisruptionBudget

from components import pgpool_exporter
from components.endpoints import MetricsEndpoint, PostgresEndpoint, SecretKey
from components.kube.labels import labels, selector
from components.kube.metrics import metrics_service
from components.kube.network import allow, ingress_policy, namespace, pods
from components.kube.passwords import generated_password
from components.kube.pods import container_base, pod_base, secret_variable, tcp_probe
from components.kube.rollout import config_checksum, progress_deadline, timeouts
from components.kube.scheduling import disruption_budget, topology_spread
from components.kube.security import memory_volume, scratch_mount, scratch_volume
from components.pgpool_conf import backend, pgpool_conf, pool_hba_conf
from components.pgpool_settings import PgpoolSettings, own_parameters

APP = "pgpool"
PORT = 9999
CLIENT_LABEL = ("pgpool-client", "true")
_CONFIG_MAP = "pgpool-config"
_EXPORTER_MAP = "pgpool-exporter"
_PCP_USER = "pcp"
_STOP_SECONDS = 5  # on SIGINT, Pgpool-II ends its sessions and is gone in one
_RUN = "/var/run/pgpool"
_TLS = "/config/tls"
_VARIABLE = "PGPOOL_PARAMS_"


@dataclass(frozen=True, kw_only=True, slots=True)
class PgpoolLBArgs:
    """What `PgpoolLB` needs.

    Attributes:
        settings: the `hotstack:pgpool` part of the stack file.
        image: reference of the image to run: the one of `images/pgpool`, or one with the contract of `pgpool/pgpool`.
        exporter_image: of the exporter; `None` for settings without one.
        scraper_namespace: the namespace whose pods may read metrics.
        namespace: name of an existing namespace.
        primary: where writes go.
        replicas: where reads may go; `None` when there is no standby.
        standbys: how many servers are behind `replicas`, the default of their weight.
    """

    settings: PgpoolSettings
    image: str
    exporter_image: str | None = None
    scraper_namespace: str
    namespace: pulumi.Input[str]
    primary: PostgresEndpoint
    replicas: PostgresEndpoint | None
    standbys: int


class PgpoolLB(pulumi.ComponentResource):
    """Pods of Pgpool-II behind the Service `pgpool`.

    A session needs the primary, also one that only reads: while there is none, read from the endpoint of the replicas.

    Attributes:
        endpoint: PostgreSQL as clients see it through Pgpool-II, with the logins of the servers behind it.
        metrics: where the figures of all pods are; `None` without an exporter.
    """

    endpoint: PostgresEndpoint
    metrics: MetricsEndpoint | None

    def __init__(self, name: str, args: PgpoolLBArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("hotstack:index:PgpoolLB", name, {"replicas": args.settings.replicas}, opts)
        settings = args.settings
        child = pulumi.ResourceOptions(parent=self)
        pod_selector = selector(APP, name)
        files = config_files(args) if settings.configuration == "config_map" else {}
        pcp_password = _pcp_secret(name, args, child)

        def metadata(object_name: str) -> ObjectMetaArgsDict:
            return {"name": object_name, "namespace": args.namespace, "labels": labels(APP, name)}

        account = ServiceAccount(
            f"{name}-account", metadata=metadata("pgpool"), automount_service_account_token=False, opts=child
        )
        policy = NetworkPolicy(
            f"{name}-policy",
            metadata=metadata("pgpool"),
            spec=ingress_policy(pod_selector, who_may_connect(args)),
            opts=child,
        )
        PodDisruptionBudget(
            f"{name}-budget", metadata=metadata("pgpool"), spec=disruption_budget(pod_selector), opts=child
        )
        before: list[pulumi.Resource] = [account, policy, *args.primary.workloads]
        if args.replicas is not None:
            before += args.replicas.workloads
        if files:
            before.append(ConfigMap(f"{name}-config", metadata=metadata(_CONFIG_MAP), data=files, opts=child))
        exporter_files = exporter_config(args)
        if exporter_files:
            before.append(
                ConfigMap(f"{name}-exporter", metadata=metadata(_EXPORTER_MAP), data=exporter_files, opts=child)
            )
        deployment = Deployment(
            f"{name}-deployment",
            metadata=metadata("pgpool"),
            spec={
                "replicas": settings.replicas,
                "selector": {"match_labels": pod_selector},
                "progress_deadline_seconds": progress_deadline(settings.rollout_timeout_seconds),
                "revision_history_limit": 3,
                "strategy": strategy(settings),
                "template": {
                    "metadata": {
                        "labels": {**labels(APP, name), **dict([args.primary.client_label])},
                        "annotations": pulumi.Output.all(
                            files={**files, **exporter_files}, logins=args.primary.logins_key
                        ).apply(config_checksum),
                    },
                    "spec": {
                        **pod_base("pgpool", [container(args, pcp_password), *exporters(args)]),
                        "topology_spread_constraints": topology_spread(
                            pod_selector, settings.spread, settings.replicas
                        ),
                        "termination_grace_period_seconds": settings.drain_seconds + _STOP_SECONDS,
                        "volumes": volumes(args),
                    },
                },
            },
            opts=pulumi.ResourceOptions(
                parent=self,
                # A pod must not show PostgreSQL a new password before PostgreSQL knows it.
                depends_on=before,
                custom_timeouts=timeouts(settings.rollout_timeout_seconds),
            ),
        )
        Service(
            f"{name}-service",
            metadata=metadata("pgpool"),
            spec=service_spec(pod_selector),
            # After its workload: an `up` that fails then names the pod, not a Service without endpoints.
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[deployment],
                custom_timeouts=timeouts(settings.rollout_timeout_seconds),
            ),
        )
        self.metrics = None
        if settings.exporter is not None:
            self.metrics = MetricsEndpoint(
                job=APP,
                namespace=args.namespace,
                pods=pod_selector,
                service=selector(APP, name, "metrics"),
                port=pgpool_exporter.PORT,
                port_name=pgpool_exporter.PORT_NAME,
                relabelings=pgpool_exporter.relabelings(settings.exporter),
                recorded=pgpool_exporter.recorded(settings.exporter),
            )
            Service(
                f"{name}-stats",
                metadata={
                    "name": "pgpool-stats",
                    "namespace": args.namespace,
                    "labels": labels(APP, name, "metrics"),
                    "annotations": self.metrics.annotations,
                },
                spec=metrics_service(pod_selector, pgpool_exporter.PORT, pgpool_exporter.PORT_NAME),
                opts=child,
            )
        self.endpoint = replace(
            args.primary,
            host=pulumi.Output.concat("pgpool.", args.namespace, ".svc"),
            port=PORT,
            ca=None if settings.tls_secret_name is None else args.primary.ca,
            client_label=CLIENT_LABEL,
            workloads=[deployment],
        )
        self.register_outputs({"host": self.endpoint.host, "port": PORT})


def _pcp_secret(name: str, args: PgpoolLBArgs, opts: pulumi.ResourceOptions) -> SecretKey | None:
    pcp = args.settings.pcp
    if not pcp.enabled:
        return None
    secret = Secret(
        f"{name}-pcp",
        metadata={"namespace": args.namespace, "labels": labels(APP, name)},
        immutable=True,
        string_data={"password": generated_password(f"{name}-pcp-password", pcp.rotation, opts).result},
        opts=opts,
    )
    return SecretKey(name=secret.metadata["name"], key="password")


def parameters(args: PgpoolLBArgs) -> dict[str, pulumi.Input[str]]:
    """All parameters that Pgpool-II is given, by name."""
    settings = args.settings
    result: dict[str, pulumi.Input[str]] = {
        "backend_clustering_mode": "streaming_replication",
        **backend(0, args.primary, "ALWAYS_PRIMARY|DISALLOW_TO_FAILOVER", settings.load_balancing.primary_weight),
    }
    if args.replicas is not None:
        weight = settings.load_balancing.replicas_weight
        weight = args.standbys if weight is None else weight
        result |= backend(1, args.replicas, "DISALLOW_TO_FAILOVER", weight)
    result |= {
        # The operator fails over and moves the Services; Pgpool-II only has to connect anew.
        "failover_on_backend_error": "off",
        **health_checks(args),
        "sr_check_period": "0",
        "listen_addresses": "*",
        "port": str(PORT),
        "pcp_listen_addresses": "localhost" if settings.pcp.enabled else "",
        "pool_passwd": "pool_passwd",
        "unix_socket_directories": _RUN,
        "pcp_socket_dir": _RUN,
        "wd_ipc_socket_dir": _RUN,
        "pid_file_name": f"{_RUN}/pgpool.pid",
        "logdir": _RUN,
        "log_destination": "stderr",
    }
    ca, tls = args.primary.ca is not None, settings.tls_secret_name is not None
    if ca or tls:
        # One switch for both sides; without a certificate, Pgpool-II tells clients that it speaks no TLS.
        result["ssl"] = "on"
    if ca:
        result["ssl_ca_cert"] = f"{_TLS}/root.crt"
    if tls:
        result |= {"ssl_cert": f"{_TLS}/tls.crt", "ssl_key": f"{_TLS}/tls.key"}
    return result | own_parameters(settings) | settings.parameters


def health_checks(args: PgpoolLBArgs) -> dict[str, pulumi.Input[str]]:
    """How Pgpool-II finds out which server answers: for its exporter to tell, and for nothing else."""
    if args.settings.exporter is None:
        return {"health_check_period": "0"}
    return {
        "health_check_period": "10",
        "health_check_timeout": "5",
        "health_check_user": args.primary.monitor.role,
        "health_check_database": args.primary.database,
    }


def config_files(args: PgpoolLBArgs) -> dict[str, pulumi.Input[str]]:
    """The files of `pgpool-config`. What holds a password is written by the pod itself, from Secrets."""
    return {
        "pgpool.conf": pulumi.Output.all(**parameters(args)).apply(pgpool_conf),
        "pool_hba.conf": pool_hba_conf(args.settings),
    }


def strategy(settings: PgpoolSettings) -> DeploymentStrategyArgsDict:
    """How pods are replaced: a new one is ready before an old one goes.

    Unless each keeps a query cache of its own: two at a time would not see each other's writes.
    """
    if settings.caches_per_pod:
        return {"type": "Recreate"}
    return {"type": "RollingUpdate", "rolling_update": {"max_unavailable": 0, "max_surge": 1}}


def container(args: PgpoolLBArgs, pcp_password: SecretKey | None) -> ContainerArgsDict:
    """The Pgpool-II container."""
    settings = args.settings
    return {
        **container_base("pgpool", args.image, settings.resources),
        "env": environment(args, pcp_password),
        "ports": [{"name": "pgpool", "container_port": PORT, "protocol": "TCP"}],
        # All ask for an open port and nothing more: a query would take every pod away while PostgreSQL fails over.
        "startup_probe": tcp_probe("pgpool", period=1, failures=60),
        "liveness_probe": tcp_probe("pgpool", period=10, failures=3),
        "readiness_probe": tcp_probe("pgpool", period=3, failures=2),
        # Routes to the pod take a moment to disappear; sessions may end by themselves in the meantime.
        "lifecycle": {"pre_stop": {"sleep": {"seconds": settings.drain_seconds}}},
        "volume_mounts": mounts(args),
    }


def environment(args: PgpoolLBArgs, pcp_password: SecretKey | None) -> list[EnvVarArgsDict]:
    """Who may log in, the password of PCP, and the parameters where they are not in a file.

    Names up to the first underscore must differ: the official image knows a user by that part alone.
    """
    logins = {"POSTGRES": args.primary.superuser, "APP": args.primary.application, "MONITOR": args.primary.monitor}
    result: list[EnvVarArgsDict] = [
        {"name": "PGPOOL_ENABLE_POOL_PASSWD", "value": "true"},
        {"name": "PGPOOL_PASSWORD_ENCRYPTION_METHOD", "value": "scram-sha-256"},
        {"name": "PGPOOL_SKIP_PASSWORD_ENCRYPTION", "value": "false"},
    ]
    for prefix, login in logins.items():
        result.append(secret_variable(f"{prefix}_USERNAME", login.username))
        result.append(secret_variable(f"{prefix}_PASSWORD", login.password))
    if pcp_password is not None:
        result.append({"name": "PGPOOL_PCP_USER", "value": _PCP_USER})
        result.append(secret_variable("PGPOOL_PCP_PASSWORD", pcp_password))
    if args.settings.configuration == "environment":
        for parameter, value in parameters(args).items():
            result.append({"name": f"{_VARIABLE}{parameter.upper()}", "value": value})
    return result


def who_may_connect(args: PgpoolLBArgs) -> list[NetworkPolicyIngressRuleArgsDict]:
    """The NetworkPolicy's rules: clients, and the scraper where there is something to scrape."""
    clients = allow(PORT, [pods(dict([CLIENT_LABEL]))])
    if args.settings.exporter is None:
        return [clients]
    return [clients, allow(pgpool_exporter.PORT, [namespace(args.scraper_namespace)])]


def exporters(args: PgpoolLBArgs) -> list[ContainerArgsDict]:
    """The exporter's container, for settings with one."""
    settings = args.settings
    if settings.exporter is None or args.exporter_image is None:
        return []
    tls = settings.tls_secret_name is not None
    primary = args.primary
    return [pgpool_exporter.container(args.exporter_image, settings.exporter, primary.monitor, primary.database, tls)]


def exporter_config(args: PgpoolLBArgs) -> dict[str, str]:
    """The file of `pgpool-exporter`, for the exporter that has one."""
    settings = args.settings
    if settings.exporter is None or settings.exporter.exporter != "sql_exporter":
        return {}
    tls = settings.tls_secret_name is not None
    return {pgpool_exporter.CONFIG: pgpool_exporter.config(settings.exporter, args.primary.database, tls)}


def volumes(args: PgpoolLBArgs) -> list[VolumeArgsDict]:
    """What is mounted as files, and the few places that Pgpool-II writes to."""
    result: list[VolumeArgsDict] = [memory_volume("etc"), scratch_volume("run"), scratch_volume("tmp")]
    sources = config_sources(args)
    if sources:
        result.append({"name": "config", "projected": {"sources": sources, "default_mode": 0o440}})
    if args.settings.tls_secret_name is not None:
        result.append(memory_volume("tls"))
    if exporter_config(args):
        result.append({"name": "exporter", "config_map": {"name": _EXPORTER_MAP}})
    return result


def config_sources(args: PgpoolLBArgs) -> Sequence[VolumeProjectionArgsDict]:
    """The files of /config: the ConfigMap, the CA of PostgreSQL, and the certificate for clients."""
    result: list[VolumeProjectionArgsDict] = []
    if args.settings.configuration == "config_map":
        result.append({"config_map": {"name": _CONFIG_MAP}})
    if args.primary.ca is not None:
        ca = args.primary.ca
        result.append({"secret": {"name": ca.name, "items": [{"key": ca.key, "path": "tls/root.crt"}]}})
    if args.settings.tls_secret_name is not None:
        items: list[KeyToPathArgsDict] = [{"key": key, "path": f"tls/{key}"} for key in ("tls.crt", "tls.key")]
        result.append({"secret": {"name": args.settings.tls_secret_name, "items": items}})
    return result


def mounts(args: PgpoolLBArgs) -> list[VolumeMountArgsDict]:
    """Where `volumes` are seen by the container."""
    result: list[VolumeMountArgsDict] = [
        scratch_mount("etc", "/opt/pgpool-II/etc"),
        scratch_mount("run", _RUN),
        scratch_mount("tmp", "/tmp"),  # noqa: S108 - an emptyDir of the pod's own
    ]
    if config_sources(args):
        result.append({"name": "config", "mount_path": "/config", "read_only": True})
    if args.settings.tls_secret_name is not None:
        # The official image copies certificates there, to where its user may read them.
        result.append(scratch_mount("tls", "/opt/pgpool-II/tls"))
    return result


def service_spec(pod_selector: Mapping[str, str]) -> ServiceSpecArgsDict:
    """A ClusterIP Service on Pgpool-II's port."""
    return {
        "type": "ClusterIP",
        "selector": dict(pod_selector),
        "ports": [{"name": "tcp-pgpool", "port": PORT, "target_port": "pgpool", "protocol": "TCP"}],
    }
