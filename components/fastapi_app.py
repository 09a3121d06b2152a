"""The FastAPI service: identical pods behind one Service, reached by NodePort or through an Ingress."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import pulumi
from pulumi_kubernetes.apps.v1 import Deployment
from pulumi_kubernetes.batch.v1 import Job
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
)
from pulumi_kubernetes.meta.v1 import ObjectMetaArgsDict
from pulumi_kubernetes.networking.v1 import (
    Ingress,
    IngressRuleArgsDict,
    IngressSpecArgsDict,
    NetworkPolicy,
    NetworkPolicyIngressRuleArgsDict,
)
from pulumi_kubernetes.policy.v1 import PodDisruptionBudget
from pydantic import Field, StringConstraints, model_validator

from components import fastapi_database
from components.endpoints import MetricsEndpoint, PostgresEndpoint, RedisEndpoint
from components.fastapi_database import DatabaseWiring, FastApiDatabase
from components.kube.labels import labels, selector
from components.kube.network import allow, allow_anyone, ingress_policy, namespace
from components.kube.passwords import generated_password
from components.kube.pods import container_base, http_probe, pod_base
from components.kube.rollout import config_checksum, progress_deadline, timeouts
from components.kube.scheduling import disruption_budget, topology_spread
from components.kube.security import scratch_mount, scratch_volume
from components.model import DnsLabel, Image, Resources, Settings, Spread

APP = "fastapi"
MIGRATION = "fastapi-migration"
PORT = 8000
_SHUTDOWN_SECONDS = 20  # the image gives requests in flight this long after SIGTERM
_TOKEN_MOUNT = "/run/secrets/fastapi"  # noqa: S105 - a folder's path
_REDIS_MOUNT = "/run/secrets/redis"

EnvName = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]*$")]


class FastApiIngress(Settings):
    """How an ingress controller leads to the service."""

    class_name: DnsLabel = Field(description="`ingressClassName`: which controller; there is no safe guess.")
    controller_namespace: DnsLabel = Field(description="Namespace of its pods, which the NetworkPolicy lets in.")
    path: str = Field(default="/cache", pattern=r"^/[A-Za-z0-9/_-]*$", description="Path prefix that is led here.")
    host: str | None = Field(
        default=None, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", description="Host name; any when not set."
    )
    tls_secret_name: DnsLabel | None = Field(default=None, description="Secret of type kubernetes.io/tls for `host`.")
    annotations: dict[str, str] = Field(default={}, description="Annotations of the Ingress, for cert-manager say.")

    @model_validator(mode="after")
    def _tls_has_a_host(self) -> "FastApiIngress":
        if self.tls_secret_name is not None and self.host is None:
            raise ValueError("`tlsSecretName` needs `host`, the name that the certificate is for")
        return self


class FastApiSettings(Settings):
    """Settings of `FastApiApp`."""

    image: Image
    replicas: int = Field(default=2, ge=1, le=50, description="Pods, of one uvicorn process each.")
    config: dict[EnvName, str] = Field(default={}, description="Content of `fastapi-config`: the app's environment.")
    secret_rotation: int = Field(default=1, ge=1, description="Raise it for a new API token in `fastapi-secret`.")
    node_port: int | None = Field(
        default=None, ge=30000, le=32767, description="Open the service on this port of every node, to everyone."
    )
    ingress: FastApiIngress | None = None
    database: FastApiDatabase = FastApiDatabase()
    resources: Resources = Resources()
    spread: Spread = "soft"
    drain_seconds: int = Field(
        default=5, ge=1, le=60, description="How long a stopping pod goes on serving while routes to it disappear."
    )
    rollout_timeout_seconds: int = Field(default=300, ge=60, le=3600, description="How long `up` waits for the pods.")


@dataclass(frozen=True, kw_only=True, slots=True)
class FastApiAppArgs:
    """What `FastApiApp` needs.

    Attributes:
        settings: the `hotstack:fastapi` part of the stack file.
        image: reference of the image to run.
        namespace: name of an existing namespace.
        redis: the Redis of the cache.
        postgres: where to write items.
        postgres_readers: where to read them, each tried when those before it do not answer; they outlive the primary.
        scraper_namespace: the namespace whose pods may read `/metrics`.
    """

    settings: FastApiSettings
    image: str
    namespace: pulumi.Input[str]
    redis: RedisEndpoint
    postgres: PostgresEndpoint
    postgres_readers: Sequence[PostgresEndpoint]
    scraper_namespace: str

    @property
    def database(self) -> DatabaseWiring:
        """The database, and how it is used."""
        return DatabaseWiring(settings=self.settings.database, primary=self.postgres, readers=self.postgres_readers)

    @property
    def client_labels(self) -> dict[str, str]:
        """The labels that let the service's pods reach what they use."""
        return dict([self.redis.client_label, *(endpoint.client_label for endpoint in self.database.endpoints)])


class FastApiApp(pulumi.ComponentResource):
    """The FastAPI service of `app/`, behind `fastapi-service`.

    Attributes:
        metrics: where its figures are.
    """

    metrics: MetricsEndpoint

    def __init__(self, name: str, args: FastApiAppArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("hotstack:index:FastApiApp", name, {"replicas": args.settings.replicas}, opts)
        settings = args.settings
        child = pulumi.ResourceOptions(parent=self)
        pod_selector = selector(APP, name)

        def metadata(object_name: str) -> ObjectMetaArgsDict:
            return {"name": object_name, "namespace": args.namespace, "labels": labels(APP, name)}

        config = ConfigMap(f"{name}-config", metadata=metadata("fastapi-config"), data=settings.config, opts=child)
        token = generated_password(f"{name}-token", settings.secret_rotation, child)
        secret = Secret(
            f"{name}-secret", metadata=metadata("fastapi-secret"), string_data={"API_TOKEN": token.result}, opts=child
        )
        account = ServiceAccount(
            f"{name}-account", metadata=metadata("fastapi"), automount_service_account_token=False, opts=child
        )
        policy = NetworkPolicy(
            f"{name}-policy",
            metadata=metadata("fastapi"),
            spec=ingress_policy(pod_selector, who_may_connect(settings, args.scraper_namespace)),
            opts=child,
        )
        PodDisruptionBudget(
            f"{name}-budget", metadata=metadata("fastapi"), spec=disruption_budget(pod_selector), opts=child
        )
        migration = self._migration(name, args, [account])
        deployment = Deployment(
            f"{name}-deployment",
            metadata=metadata("fastapi-deployment"),
            spec={
                "replicas": settings.replicas,
                "selector": {"match_labels": pod_selector},
                "progress_deadline_seconds": progress_deadline(settings.rollout_timeout_seconds),
                "revision_history_limit": 3,
                # A new pod is ready before an old one goes, so that a roll never has fewer pods than asked for.
                "strategy": {"type": "RollingUpdate", "rolling_update": {"max_unavailable": 0, "max_surge": 1}},
                "template": {
                    "metadata": {
                        "labels": {**labels(APP, name), **args.client_labels},
                        "annotations": config_checksum(
                            {
                                "config": settings.config,
                                "secretRotation": settings.secret_rotation,
                                "logins": args.postgres.logins_key,
                            }
                        ),
                    },
                    "spec": {
                        **pod_base("fastapi", [container(args)]),
                        "topology_spread_constraints": topology_spread(
                            pod_selector, settings.spread, settings.replicas
                        ),
                        "termination_grace_period_seconds": settings.drain_seconds + _SHUTDOWN_SECONDS + 5,
                        "volumes": volumes(args),
                    },
                },
            },
            opts=pulumi.ResourceOptions(
                parent=self,
                # A pod of ours must not present a new Redis password before Redis knows it.
                depends_on=[config, secret, account, policy, migration, *args.redis.workloads],
                custom_timeouts=timeouts(settings.rollout_timeout_seconds),
            ),
        )
        self.metrics = MetricsEndpoint(
            job=APP, namespace=args.namespace, pods=pod_selector, service=pod_selector, port=PORT, port_name="http"
        )
        service = Service(
            f"{name}-service",
            metadata={**metadata("fastapi-service"), "annotations": self.metrics.annotations},
            spec=service_spec(pod_selector, settings.node_port),
            # After its workload: an `up` that fails then names the pod, not a Service without endpoints.
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[deployment],
                custom_timeouts=timeouts(settings.rollout_timeout_seconds),
            ),
        )
        if settings.ingress is not None:
            Ingress(
                f"{name}-ingress",
                metadata={**metadata("fastapi-ingress"), "annotations": settings.ingress.annotations},
                spec=ingress_spec(settings.ingress),
                opts=pulumi.ResourceOptions(
                    parent=self,
                    depends_on=[service],
                    custom_timeouts=timeouts(settings.rollout_timeout_seconds),
                ),
            )
        self.register_outputs({"port": PORT})

    def _migration(self, name: str, args: FastApiAppArgs, after: Sequence[pulumi.Resource]) -> Job:
        """The Job that migrates the database, before any pod of this version starts."""
        # An application of its own: the Service must not lead to its pod.
        own_labels = labels(MIGRATION, name)
        policy = NetworkPolicy(
            f"{name}-migration-policy",
            metadata={"name": MIGRATION, "namespace": args.namespace, "labels": own_labels},
            spec=ingress_policy(selector(MIGRATION, name), []),
            opts=pulumi.ResourceOptions(parent=self),
        )
        return Job(
            f"{name}-migration",
            metadata={
                "name": fastapi_database.migration_name(args.image),
                "namespace": args.namespace,
                "labels": own_labels,
            },
            spec=fastapi_database.migration_job(args.image, args.settings.resources, own_labels, args.database),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[*after, policy, *args.postgres.workloads],
                # Longer than its own deadline, so that `up` reports Kubernetes' reason and not a time-out.
                custom_timeouts=timeouts(args.settings.database.migration_deadline_seconds + 60),
            ),
        )


def who_may_connect(settings: FastApiSettings, scraper_namespace: str) -> Sequence[NetworkPolicyIngressRuleArgsDict]:
    """The NetworkPolicy's rules: the scraper, the ingress controller, and everyone when there is a NodePort.

    Traffic of a NodePort arrives under the address of a node, so no narrower rule could tell it apart.
    """
    if settings.node_port is not None:
        return [allow_anyone(PORT)]
    controllers = [] if settings.ingress is None else [namespace(settings.ingress.controller_namespace)]
    return [allow(PORT, [namespace(scraper_namespace), *controllers])]


def container(args: FastApiAppArgs) -> ContainerArgsDict:
    """The uvicorn container."""
    settings = args.settings
    return {
        **container_base("fastapi", args.image, settings.resources),
        "env": environment(args),
        "env_from": [{"config_map_ref": {"name": "fastapi-config"}}],
        "ports": [{"name": "http", "container_port": PORT, "protocol": "TCP"}],
        # Start-up gives imports time; liveness asks the process alone, for a restart does not mend Redis; readiness
        # asks whether it can serve.
        "startup_probe": http_probe("/livez", period=1, failures=60),
        "liveness_probe": http_probe("/livez", period=10, failures=3),
        "readiness_probe": http_probe("/readyz", period=3, failures=2),
        # uvicorn stops accepting at once on SIGTERM, but routes to the pod take a moment to disappear.
        "lifecycle": {"pre_stop": {"sleep": {"seconds": settings.drain_seconds}}},
        "volume_mounts": mounts(args),
    }


def environment(args: FastApiAppArgs) -> list[EnvVarArgsDict]:
    """What the app learns from the stack rather than from `fastapi-config`; secrets as paths of files."""
    result: list[EnvVarArgsDict] = [
        {"name": "POD_NAME", "value_from": {"field_ref": {"field_path": "metadata.name"}}},
        {"name": "API_TOKEN_FILE", "value": f"{_TOKEN_MOUNT}/API_TOKEN"},
        {"name": "REDIS_HOST", "value": args.redis.host},
        {"name": "REDIS_PORT", "value": str(args.redis.port)},
    ]
    if args.redis.password is not None:
        result.append({"name": "REDIS_PASSWORD_FILE", "value": f"{_REDIS_MOUNT}/password"})
    return [*result, *fastapi_database.environment(args.database)]


def volumes(args: FastApiAppArgs) -> list[VolumeArgsDict]:
    """Secrets as files, and a bounded /tmp."""
    result: list[VolumeArgsDict] = [
        scratch_volume("tmp"),
        {"name": "token", "secret": {"secret_name": "fastapi-secret", "default_mode": 0o440}},
    ]
    if args.redis.password is not None:
        item: KeyToPathArgsDict = {"key": args.redis.password.key, "path": "password"}
        result.append(
            {
                "name": "redis",
                "secret": {"secret_name": args.redis.password.name, "items": [item], "default_mode": 0o440},
            }
        )
    return [*result, *fastapi_database.volumes(args.postgres)]


def mounts(args: FastApiAppArgs) -> list[VolumeMountArgsDict]:
    """Where `volumes` are seen by the container."""
    result: list[VolumeMountArgsDict] = [
        scratch_mount("tmp", "/tmp"),  # noqa: S108 - an emptyDir of the pod's own
        {"name": "token", "mount_path": _TOKEN_MOUNT, "read_only": True},
    ]
    if args.redis.password is not None:
        result.append({"name": "redis", "mount_path": _REDIS_MOUNT, "read_only": True})
    return [*result, *fastapi_database.mounts(args.postgres)]


def service_spec(pod_selector: Mapping[str, str], node_port: int | None) -> ServiceSpecArgsDict:
    """Port 80, on every node too when `node_port` is given."""
    return {
        "type": "ClusterIP" if node_port is None else "NodePort",
        "selector": dict(pod_selector),
        "ports": [
            {
                "name": "http",
                "port": 80,
                "target_port": "http",
                "protocol": "TCP",
                **({} if node_port is None else {"node_port": node_port}),
            }
        ],
    }


def ingress_spec(ingress: FastApiIngress) -> IngressSpecArgsDict:
    """One rule: the path prefix leads to `fastapi-service`, unchanged."""
    rule: IngressRuleArgsDict = {
        "http": {
            "paths": [
                {
                    "path": ingress.path,
                    "path_type": "Prefix",
                    "backend": {"service": {"name": "fastapi-service", "port": {"name": "http"}}},
                }
            ]
        }
    }
    spec: IngressSpecArgsDict = {"ingress_class_name": ingress.class_name, "rules": [rule]}
    if ingress.host is not None:
        rule["host"] = ingress.host
        if ingress.tls_secret_name is not None:
            spec["tls"] = [{"hosts": [ingress.host], "secret_name": ingress.tls_secret_name}]
    return spec
