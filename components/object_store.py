"""An S3 server in the cluster: one bucket on one volume, for stacks that have no bucket elsewhere."""

from dataclasses import dataclass
from typing import Annotated

import pulumi
from pulumi_kubernetes.apps.v1 import StatefulSet
from pulumi_kubernetes.core.v1 import (
    ContainerArgsDict,
    EnvVarArgsDict,
    PodSpecArgsDict,
    Secret,
    Service,
    ServiceAccount,
)
from pulumi_kubernetes.meta.v1 import ObjectMetaArgsDict
from pulumi_kubernetes.networking.v1 import NetworkPolicy
from pulumi_kubernetes.policy.v1 import PodDisruptionBudget
from pydantic import Field, StringConstraints

from components.endpoints import S3Endpoint, SecretKey
from components.kube.labels import labels, selector
from components.kube.network import allow, ingress_policy, pods
from components.kube.passwords import generated_password
from components.kube.pods import container_base, data_claim, http_probe, pod_base, secret_variable
from components.kube.rollout import config_checksum, stateful_set_rolled_out, timeouts
from components.kube.scheduling import disruption_budget, topology_spread
from components.model import Image, Memory, Resources, Settings

APP = "object-store"
PORT = 7070
CLIENT_LABEL = ("object-store-client", "true")
REGION = "us-east-1"
ACCESS_KEY_ID = "hotstack"
_DATA = "/data"

BucketName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$")]
"""A name that every S3 server takes: 3 to 63 small letters, digits and hyphens."""


class ObjectStoreSettings(Settings):
    """Settings of `ObjectStore`."""

    image: Image
    bucket: BucketName = Field(default="backups", description="Name of the bucket that it has.")
    size: Memory = Field(default="2Gi", description="Size of its volume.")
    storage_class: str | None = Field(default=None, description="StorageClass; the cluster's default when not set.")
    keep_volumes: bool = Field(default=True, description="Keep the volume when the stack is destroyed.")
    keys_rotation: int = Field(
        default=1, ge=1, description="Raise it by one for a new secret key; the one before is void at once."
    )
    resources: Resources = Field(default=Resources(), description="Of its pod.")
    rollout_timeout_seconds: int = Field(default=300, ge=60, le=3600, description="How long `up` waits for it.")
    protect: bool = Field(default=False, description="Refuse to delete or replace what holds data.")


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectStoreArgs:
    """What `ObjectStore` needs.

    Attributes:
        settings: the `hotstack:objectStore` part of the stack file.
        image: reference of the image to run.
        namespace: name of an existing namespace.
    """

    settings: ObjectStoreSettings
    image: str
    namespace: pulumi.Input[str]


class ObjectStore(pulumi.ComponentResource):
    """versitygw behind the Service `object-store`: objects are files on a volume, and a bucket is a folder.

    One pod, because one volume: clients must bear that it is away for as long as a restart takes.

    Attributes:
        endpoint: its bucket, and the keys that open it.
    """

    endpoint: S3Endpoint

    def __init__(self, name: str, args: ObjectStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("hotstack:index:ObjectStore", name, {"bucket": args.settings.bucket}, opts)
        settings = args.settings
        child = pulumi.ResourceOptions(parent=self)
        pod_selector = selector(APP, name)
        metadata: ObjectMetaArgsDict = {"name": APP, "namespace": args.namespace, "labels": labels(APP, name)}

        keys = Secret(
            f"{name}-keys",
            metadata={"namespace": args.namespace, "labels": labels(APP, name)},
            immutable=True,
            string_data={
                "access-key-id": ACCESS_KEY_ID,
                "secret-access-key": generated_password(f"{name}-key", settings.keys_rotation, child).result,
            },
            opts=child,
        )
        access_key_id = SecretKey(name=keys.metadata["name"], key="access-key-id")
        secret_access_key = SecretKey(name=keys.metadata["name"], key="secret-access-key")
        account = ServiceAccount(
            f"{name}-account", metadata=metadata, automount_service_account_token=False, opts=child
        )
        policy = NetworkPolicy(
            f"{name}-policy",
            metadata=metadata,
            spec=ingress_policy(pod_selector, [allow(PORT, [pods(dict([CLIENT_LABEL]))])]),
            opts=child,
        )
        PodDisruptionBudget(f"{name}-budget", metadata=metadata, spec=disruption_budget(pod_selector), opts=child)
        environment: list[EnvVarArgsDict] = [
            # The program takes its keys in no other way that leaves them out of the argument list.
            secret_variable("ROOT_ACCESS_KEY_ID", access_key_id),
            secret_variable("ROOT_SECRET_ACCESS_KEY", secret_access_key),
        ]
        pod: PodSpecArgsDict = {
            **pod_base(APP, [container(args.image, settings, environment)]),
            "topology_spread_constraints": topology_spread(pod_selector, "soft", 1),
            "termination_grace_period_seconds": 15,
        }
        waits = timeouts(settings.rollout_timeout_seconds)
        store = StatefulSet(
            f"{name}-store",
            metadata={**metadata, "annotations": stateful_set_rolled_out(1)},
            spec={
                "service_name": APP,
                "replicas": 1,
                "pod_management_policy": "Parallel",
                "selector": {"match_labels": pod_selector},
                "template": {
                    "metadata": {
                        "labels": labels(APP, name),
                        "annotations": config_checksum({"keysRotation": settings.keys_rotation}),
                    },
                    "spec": pod,
                },
                "volume_claim_templates": [data_claim(settings.size, settings.storage_class)],
                "persistent_volume_claim_retention_policy": {
                    "when_deleted": "Retain" if settings.keep_volumes else "Delete",
                    "when_scaled": "Retain",
                },
            },
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[account, policy],
                custom_timeouts=waits,
                protect=settings.protect or None,
            ),
        )
        service = Service(
            f"{name}-service",
            metadata=metadata,
            spec={
                "type": "ClusterIP",
                "selector": pod_selector,
                "ports": [{"name": "http-s3", "port": PORT, "target_port": "s3", "protocol": "TCP"}],
            },
            # After its workload: an `up` that fails then names the pod, not a Service without endpoints.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[store], custom_timeouts=waits),
        )
        self.endpoint = S3Endpoint(
            url=pulumi.Output.concat("http://", APP, ".", args.namespace, f".svc:{PORT}"),
            bucket=settings.bucket,
            region=REGION,
            access_key_id=access_key_id,
            secret_access_key=secret_access_key,
            client_label=CLIENT_LABEL,
            workloads=[store, service],
        )
        self.register_outputs({"bucket": settings.bucket, "port": PORT})


def container(image: str, settings: ObjectStoreSettings, environment: list[EnvVarArgsDict]) -> ContainerArgsDict:
    """The versitygw container."""
    return {
        **container_base("versitygw", image, settings.resources),
        "args": [
            *("--port", f":{PORT}", "--region", REGION, "--health", "/health", "--quiet", "posix"),
            # Lock files are for several servers over one folder, and would stand beside the bucket.
            *("--disable-object-lock-file", _DATA),
        ],
        "env": environment,
        "ports": [{"name": "s3", "container_port": PORT, "protocol": "TCP"}],
        "startup_probe": http_probe("/health", period=1, failures=60, port="s3"),
        "liveness_probe": http_probe("/health", period=10, failures=3, port="s3"),
        "readiness_probe": http_probe("/health", period=3, failures=2, port="s3"),
        # The kubelet makes the bucket, as a folder of the volume. Around it there is only the read-only image, so that
        # no client can make another bucket: a misspelled name is refused, as it is by a bucket that belongs to others.
        "volume_mounts": [
            {"name": "data", "mount_path": f"{_DATA}/{settings.bucket}", "sub_path": settings.bucket},
        ],
    }
