"""What all pods and containers have in common."""

from collections.abc import Sequence

from pulumi_kubernetes.core.v1 import (
    ContainerArgsDict,
    EnvVarArgsDict,
    PersistentVolumeClaimArgsDict,
    PodSpecArgsDict,
    ProbeArgsDict,
)

from components.endpoints import SecretKey
from components.kube.scheduling import resource_requirements
from components.kube.security import container_security_context, pod_security_context
from components.model import Memory, Resources


def pod_base(service_account: str, containers: Sequence[ContainerArgsDict]) -> PodSpecArgsDict:
    """A pod that holds no token, knows no other Service by its environment, and runs as nobody."""
    return {
        "service_account_name": service_account,
        "automount_service_account_token": False,
        "enable_service_links": False,
        "security_context": pod_security_context(),
        "containers": list(containers),
    }


def container_base(name: str, image: str, resources: Resources) -> ContainerArgsDict:
    """A container that can do little and says why it ended."""
    return {
        "name": name,
        "image": image,
        # Every image here is pinned, by digest or by a tag made of its content.
        "image_pull_policy": "IfNotPresent",
        "resources": resource_requirements(resources),
        "security_context": container_security_context(),
        "termination_message_policy": "FallbackToLogsOnError",
    }


def tcp_probe(port: str, period: int, failures: int) -> ProbeArgsDict:
    """A probe that connects to the `port` of that name every `period` seconds."""
    return {
        "tcp_socket": {"port": port},
        "period_seconds": period,
        "timeout_seconds": 3,
        "failure_threshold": failures,
    }


def http_probe(path: str, period: int, failures: int, port: str = "http") -> ProbeArgsDict:
    """A probe that asks the `port` of that name for `path` every `period` seconds."""
    return {
        "http_get": {"path": path, "port": port},
        "period_seconds": period,
        "timeout_seconds": 3,
        "failure_threshold": failures,
    }


def secret_variable(name: str, key: SecretKey) -> EnvVarArgsDict:
    """A variable whose value only the container sees."""
    return {"name": name, "value_from": {"secret_key_ref": {"name": key.name, "key": key.key}}}


def data_claim(size: Memory, storage_class: str | None) -> PersistentVolumeClaimArgsDict:
    """The claim `data` of each pod of a StatefulSet."""
    return {
        "api_version": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {
            "access_modes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": size}},
            **({} if storage_class is None else {"storage_class_name": storage_class}),
        },
    }
