"""Redis: a primary, replicas that follow it, and one name that always leads to the primary."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pulumi
from pulumi_kubernetes.apps.v1 import StatefulSet
from pulumi_kubernetes.core.v1 import (
    ConfigMap,
    ContainerArgsDict,
    KeyToPathArgsDict,
    PersistentVolumeClaimArgsDict,
    ProbeArgsDict,
    Secret,
    Service,
    ServiceAccount,
    ServiceSpecArgsDict,
    VolumeArgsDict,
    VolumeMountArgsDict,
)
from pulumi_kubernetes.meta.v1 import ObjectMetaArgsDict
from pulumi_kubernetes.networking.v1 import NetworkPolicy
from pulumi_kubernetes.policy.v1 import PodDisruptionBudget

from components import redis_exporter
from components.endpoints import MetricsEndpoint, RedisEndpoint, SecretKey
from components.kube.labels import labels, selector
from components.kube.metrics import metrics_service
from components.kube.network import allow, ingress_policy, namespace, pods
from components.kube.passwords import generated_password
from components.kube.pods import container_base, data_claim, pod_base
from components.kube.rollout import config_checksum, stateful_set_rolled_out, timeouts
from components.kube.scheduling import disruption_budget, topology_spread
from components.kube.security import memory_volume, scratch_mount, scratch_volume
from components.model import to_bytes
from components.redis_settings import RedisPersistence, RedisSettings

APP = "redis"
PORT = 6379
CLIENT_LABEL = ("redis-client", "true")
_FILES = Path(__file__).parent / "redis_files"
AUTH_MOUNT: VolumeMountArgsDict = {"name": "auth", "mount_path": "/etc/redis-auth", "read_only": True}
Role = Literal["primary", "replica"]
_MAXMEMORY_SHARE = 0.75  # the rest is for replication buffers and for copy-on-write while a snapshot is written


@dataclass(frozen=True, kw_only=True, slots=True)
class RedisStackArgs:
    """What `RedisStack` needs.

    Attributes:
        settings: the `hotstack:redis` part of the stack file.
        image: reference of the image to run.
        exporter_image: the same of the exporter; `None` for settings without one.
        namespace: name of an existing namespace.
        scraper_namespace: the namespace whose pods may read metrics.
    """

    settings: RedisSettings
    image: str
    exporter_image: str | None = None
    namespace: pulumi.Input[str]
    scraper_namespace: str


class RedisStack(pulumi.ComponentResource):
    """Redis as `topology` says, behind `redis-service` (the primary) and `redis-read` (the replicas).

    A Service's selector cannot leave one pod out, so the replicas are a StatefulSet of their own: only thus does
    `redis-read` lead to replicas alone, and going from `standalone` to `replication` leaves the primary untouched.

    Attributes:
        primary: where to write, and to read what was just written.
        replicas: where to read what may be a moment old; `None` with topology `standalone`.
        metrics: where the figures of all pods are; `None` without an exporter.
    """

    primary: RedisEndpoint
    replicas: RedisEndpoint | None
    metrics: MetricsEndpoint | None

    def __init__(self, name: str, args: RedisStackArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("hotstack:index:RedisStack", name, {"topology": args.settings.topology}, opts)
        self._name = name
        self._args = args
        self._child = pulumi.ResourceOptions(parent=self)
        self._password = self._password_secret()
        shared = self._shared_objects()

        # The primary first: it then knows a new password before any replica or client uses it.
        primary = self._workload("primary", "redis", 1, after=shared)
        self._service("primary", "redis-service", primary)
        self.primary = self._endpoint("redis-service", [primary])
        self.replicas = None
        if args.settings.topology == "replication":
            replicas = self._workload("replica", "redis-replica", args.settings.replicas, after=[*shared, primary])
            self._service("replica", "redis-read", replicas)
            self.replicas = self._endpoint("redis-read", [primary, replicas])
        self.metrics = self._metrics()
        self.register_outputs({"host": self.primary.host, "port": PORT})

    def _metadata(self, object_name: str, role: str | None = None) -> ObjectMetaArgsDict:
        return {"name": object_name, "namespace": self._args.namespace, "labels": labels(APP, self._name, role)}

    def _password_secret(self) -> SecretKey | None:
        auth = self._args.settings.auth
        if auth.mode == "none":
            return None
        if auth.secret_name is not None:
            return SecretKey(name=auth.secret_name, key=auth.secret_key)
        # Named by rotation, so that the one before is still in the state while clients roll over to the new one.
        passwords = {"password": auth.rotation}
        if auth.rotation > 1:
            passwords["previous-password"] = auth.rotation - 1
        secret = Secret(
            f"{self._name}-auth",
            metadata={"namespace": self._args.namespace, "labels": labels(APP, self._name)},
            immutable=True,
            string_data={
                key: generated_password(f"{self._name}-password-{rotation}", rotation, self._child).result
                for key, rotation in passwords.items()
            },
            opts=self._child,
        )
        return SecretKey(name=secret.metadata["name"], key="password")

    def _shared_objects(self) -> list[pulumi.Resource]:
        everyone = selector(APP, self._name)
        clients = [pods(everyone), pods(dict([CLIENT_LABEL]))]
        return [
            ConfigMap(
                f"{self._name}-config",
                metadata=self._metadata("redis-config"),
                data=config_files(self._args.settings),
                opts=self._child,
            ),
            ServiceAccount(
                f"{self._name}-account",
                metadata=self._metadata("redis"),
                automount_service_account_token=False,
                opts=self._child,
            ),
            Service(
                f"{self._name}-headless",
                metadata=self._metadata("redis-headless"),
                # Replicas must find a primary that is not ready yet: it may be waiting for them.
                spec={**service_spec(everyone), "cluster_ip": "None", "publish_not_ready_addresses": True},
                opts=self._child,
            ),
            NetworkPolicy(
                f"{self._name}-policy",
                metadata=self._metadata("redis"),
                spec=ingress_policy(
                    everyone,
                    [
                        allow(PORT, clients),
                        *(
                            []
                            if self._args.settings.exporter is None
                            else [allow(redis_exporter.PORT, [namespace(self._args.scraper_namespace)])]
                        ),
                    ],
                ),
                opts=self._child,
            ),
            PodDisruptionBudget(
                f"{self._name}-budget",
                metadata=self._metadata("redis"),
                spec=disruption_budget(everyone),
                opts=self._child,
            ),
        ]

    def _workload(self, role: Role, object_name: str, pod_count: int, after: Sequence[pulumi.Resource]) -> StatefulSet:
        settings = self._args.settings
        return StatefulSet(
            f"{self._name}-{role}",
            metadata={**self._metadata(object_name, role), "annotations": stateful_set_rolled_out(pod_count)},
            spec={
                "service_name": "redis-headless",
                "replicas": pod_count,
                # One by one, Kubernetes would wait for a pod that cannot start before it takes back what broke it.
                "pod_management_policy": "Parallel",
                "selector": {"match_labels": selector(APP, self._name, role)},
                "template": {
                    "metadata": {
                        "labels": labels(APP, self._name, role),
                        "annotations": config_checksum(config_files(settings)),
                    },
                    "spec": {
                        **pod_base("redis", self._containers(role)),
                        "topology_spread_constraints": topology_spread(
                            selector(APP, self._name), settings.spread, settings.pods
                        ),
                        # Long enough to write the last snapshot of a full memory to a slow disk.
                        "termination_grace_period_seconds": 60,
                        "volumes": volumes(settings, self._password),
                    },
                },
                "volume_claim_templates": volume_claims(settings.persistence),
                "persistent_volume_claim_retention_policy": {
                    "when_deleted": "Retain" if settings.persistence.keep_volumes else "Delete",
                    "when_scaled": "Retain",
                },
            },
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=after,
                custom_timeouts=timeouts(settings.rollout_timeout_seconds),
                protect=settings.protect or None,
            ),
        )

    def _containers(self, role: Role) -> list[ContainerArgsDict]:
        settings, image = self._args.settings, self._args.exporter_image
        containers = [container(role, self._args.image, settings)]
        if settings.exporter is not None and image is not None:
            auth = None if settings.auth.mode == "none" else AUTH_MOUNT
            containers.append(redis_exporter.container(image, settings.exporter, auth))
        return containers

    def _metrics(self) -> MetricsEndpoint | None:
        if self._args.settings.exporter is None:
            return None
        everyone = selector(APP, self._name)
        metadata = self._metadata("redis-metrics", "metrics")
        endpoint = MetricsEndpoint(
            job=APP,
            namespace=self._args.namespace,
            pods=everyone,
            service=selector(APP, self._name, "metrics"),
            port=redis_exporter.PORT,
            port_name=redis_exporter.PORT_NAME,
            relabelings=redis_exporter.RELABELINGS,
        )
        Service(
            f"{self._name}-metrics",
            metadata={**metadata, "annotations": endpoint.annotations},
            spec=metrics_service(everyone, redis_exporter.PORT, redis_exporter.PORT_NAME),
            opts=self._child,
        )
        return endpoint

    def _service(self, role: Role, object_name: str, workload: StatefulSet) -> None:
        Service(
            f"{self._name}-{role}-service",
            metadata=self._metadata(object_name, role),
            spec=service_spec(selector(APP, self._name, role)),
            # After its workload: an `up` that fails then names the pod, not a Service without endpoints.
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[workload],
                custom_timeouts=timeouts(self._args.settings.rollout_timeout_seconds),
            ),
        )

    def _endpoint(self, service: str, workloads: Sequence[pulumi.Resource]) -> RedisEndpoint:
        return RedisEndpoint(
            host=pulumi.Output.concat(service, ".", self._args.namespace, ".svc"),
            port=PORT,
            password=self._password,
            client_label=CLIENT_LABEL,
            workloads=workloads,
        )


def config_files(settings: RedisSettings) -> dict[str, str]:
    """The files of `redis-config`: the settings and the scripts that the pods run."""
    scripts = {name: (_FILES / name).read_text() for name in ("start.sh", "adopt.sh", "ping.sh", "ready.sh")}
    return {"redis.conf": redis_conf(settings), **scripts}


def redis_conf(settings: RedisSettings) -> str:
    """redis.conf for all pods; `start.sh` adds what differs between them, and the password."""
    save = "3600 1 300 100 60 10000" if settings.persistence.mode == "rdb" else '""'
    maxmemory = int(to_bytes(settings.resources.memory) * _MAXMEMORY_SHARE)
    lines = [
        f"port {PORT}",
        "bind * -::*",
        # Without a password Redis would otherwise answer on the loopback only; the NetworkPolicy guards it.
        f"protected-mode {'no' if settings.auth.mode == 'none' else 'yes'}",
        "dir /data",
        f"maxmemory {maxmemory}",
        f"maxmemory-policy {settings.eviction_policy}",
        f"save {save}",
        f"appendonly {'yes' if settings.persistence.mode == 'aof' else 'no'}",
        "appendfsync everysec",
        # A replica follows at once instead of waiting for others to start with.
        "repl-diskless-sync-delay 0",
        # Dead peers behind a Service are noticed in a minute, not in hours.
        "tcp-keepalive 60",
    ]
    return "\n".join(lines) + "\n"


def service_spec(pod_selector: Mapping[str, str]) -> ServiceSpecArgsDict:
    """A ClusterIP Service on the Redis port."""
    return {
        "type": "ClusterIP",
        "selector": dict(pod_selector),
        "ports": [{"name": "tcp-redis", "port": PORT, "target_port": "redis", "protocol": "TCP"}],
    }


def container(role: Role, image: str, settings: RedisSettings) -> ContainerArgsDict:
    """The redis-server container of a `role`."""
    primary = "redis-0.redis-headless" if role == "replica" else ""
    return {
        **container_base("redis", image, settings.resources),
        "command": ["/bin/sh", "/etc/redis/start.sh"],
        "env": [{"name": "REDIS_PRIMARY", "value": primary}],
        "ports": [{"name": "redis", "container_port": PORT, "protocol": "TCP"}],
        # Start-up waits for a large append-only file to load; liveness only for an answer of any kind (LOADING is
        # one); readiness for PONG and, on a replica, for the primary's data.
        "startup_probe": exec_probe("ping.sh", period=2, failures=150),
        "liveness_probe": exec_probe("ping.sh", period=10, failures=6),
        "readiness_probe": exec_probe("ready.sh", period=3, failures=2),
        "volume_mounts": [
            {"name": "data", "mount_path": "/data"},
            {"name": "config", "mount_path": "/etc/redis", "read_only": True},
            *([] if settings.auth.mode == "none" else [AUTH_MOUNT]),
            scratch_mount("run", "/run/redis"),
        ],
    }


def exec_probe(script: str, period: int, failures: int) -> ProbeArgsDict:
    """A probe that runs a script of `redis-config` every `period` seconds."""
    return {
        "exec_": {"command": ["/bin/sh", f"/etc/redis/{script}"]},
        "period_seconds": period,
        "timeout_seconds": 5,
        "failure_threshold": failures,
    }


def volumes(settings: RedisSettings, password: SecretKey | None) -> list[VolumeArgsDict]:
    """The volumes of a pod beside its claim."""
    result: list[VolumeArgsDict] = [
        {"name": "config", "config_map": {"name": "redis-config"}},
        memory_volume("run"),
    ]
    if settings.persistence.mode == "none":
        result.append(scratch_volume("data", settings.resources.ephemeral_storage))
    if password is not None:
        items: list[KeyToPathArgsDict] = [{"key": password.key, "path": "password"}]
        if settings.auth.mode == "generated" and settings.auth.rotation > 1:
            items.append({"key": "previous-password", "path": "previous-password"})
        result.append({"name": "auth", "secret": {"secret_name": password.name, "items": items, "default_mode": 0o440}})
    return result


def volume_claims(persistence: RedisPersistence) -> list[PersistentVolumeClaimArgsDict]:
    """The claim of each pod's data; none when nothing is to survive."""
    if persistence.mode == "none":
        return []
    return [data_claim(persistence.size, persistence.storage_class)]
