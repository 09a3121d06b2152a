"""The objects of mode `standalone`: pure functions that return the bodies of Prometheus' and Alertmanager's."""

from pulumi_kubernetes.core.v1 import (
    ContainerArgsDict,
    PodSpecArgsDict,
    VolumeArgsDict,
    VolumeMountArgsDict,
)
from pulumi_kubernetes.rbac.v1 import PolicyRuleArgsDict

from components.kube.pods import container_base, http_probe, pod_base
from components.kube.scheduling import topology_spread
from components.kube.security import memory_volume, scratch_mount
from components.monitoring_settings import Receiver, Standalone
from components.prometheus_config import (
    ALERTMANAGER_PORT,
    PROMETHEUS_PORT,
    RECEIVER_MOUNT,
    alertmanager_arguments,
    prometheus_arguments,
)

PROMETHEUS, ALERTMANAGER = "prometheus", "alertmanager"
_TOKEN_MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a folder's path
_TOKEN_SECONDS = 3607  # what Kubernetes itself asks for; the kubelet renews it


def discovery_rules() -> list[PolicyRuleArgsDict]:
    """What Prometheus may do in a namespace whose Services it scrapes: look, at what leads to pods."""
    verbs = ["get", "list", "watch"]
    return [
        {"api_groups": [""], "resources": ["services", "pods"], "verbs": verbs},
        {"api_groups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": verbs},
    ]


def prometheus_pod(image: str, standalone: Standalone, selector: dict[str, str]) -> PodSpecArgsDict:
    """The pod of Prometheus. It alone has a token of the API server, and mounts it by name."""
    container: ContainerArgsDict = {
        **container_base(PROMETHEUS, image, standalone.prometheus_resources),
        "command": ["/bin/sh", "/etc/prometheus/start.sh"],
        "args": prometheus_arguments(standalone),
        "ports": [{"name": "http", "container_port": PROMETHEUS_PORT, "protocol": "TCP"}],
        # Start-up reads the write-ahead log of hours; liveness asks the process alone.
        "startup_probe": http_probe("/-/ready", period=1, failures=180),
        "liveness_probe": http_probe("/-/healthy", period=10, failures=6),
        "readiness_probe": http_probe("/-/ready", period=5, failures=3),
        "volume_mounts": [
            {"name": "config", "mount_path": "/etc/prometheus", "read_only": True},
            {"name": "rules", "mount_path": "/etc/prometheus-rules", "read_only": True},
            {"name": "data", "mount_path": "/prometheus"},
            {"name": "token", "mount_path": _TOKEN_MOUNT, "read_only": True},
            scratch_mount("run", "/run/prometheus"),
        ],
    }
    return {
        **pod_base(PROMETHEUS, [container]),
        "topology_spread_constraints": topology_spread(selector, "soft", 1),
        # Long enough to write what is in memory only.
        "termination_grace_period_seconds": 60,
        "volumes": [
            {"name": "config", "config_map": {"name": "prometheus-config"}},
            {"name": "rules", "config_map": {"name": "prometheus-rules"}},
            service_account_token(),
            memory_volume("run"),
        ],
    }


def service_account_token() -> VolumeArgsDict:
    """What a program in a pod finds the API server by, for the one that must."""
    return {
        "name": "token",
        "projected": {
            "default_mode": 0o440,
            "sources": [
                {"service_account_token": {"path": "token", "expiration_seconds": _TOKEN_SECONDS}},
                {"config_map": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            ],
        },
    }


def alertmanager_pod(image: str, standalone: Standalone, selector: dict[str, str]) -> PodSpecArgsDict:
    """The pod of Alertmanager."""
    container: ContainerArgsDict = {
        **container_base(ALERTMANAGER, image, standalone.alertmanager_resources),
        "args": alertmanager_arguments(),
        "ports": [{"name": "http", "container_port": ALERTMANAGER_PORT, "protocol": "TCP"}],
        "startup_probe": http_probe("/-/ready", period=1, failures=60),
        "liveness_probe": http_probe("/-/healthy", period=10, failures=6),
        "readiness_probe": http_probe("/-/ready", period=5, failures=3),
        "volume_mounts": [
            {"name": "config", "mount_path": "/etc/alertmanager", "read_only": True},
            {"name": "data", "mount_path": "/alertmanager"},
            *([] if standalone.receiver is None else [receiver_mount()]),
        ],
    }
    volumes: list[VolumeArgsDict] = [{"name": "config", "config_map": {"name": "alertmanager-config"}}]
    if standalone.receiver is not None:
        volumes.append(receiver_volume(standalone.receiver))
    return {
        **pod_base(ALERTMANAGER, [container]),
        "topology_spread_constraints": topology_spread(selector, "soft", 1),
        "termination_grace_period_seconds": 15,
        "volumes": volumes,
    }


def receiver_mount() -> VolumeMountArgsDict:
    """Where the receiver's secret is seen."""
    return {"name": "receiver", "mount_path": RECEIVER_MOUNT, "read_only": True}


def receiver_volume(receiver: Receiver) -> VolumeArgsDict:
    """The receiver's secret as a file.

    The stack makes the namespace, so that the Secret can only come after it: Alertmanager starts without, and an alert
    says that it tells nobody.
    """
    return {
        "name": "receiver",
        "secret": {
            "secret_name": receiver.secret.secret_name,
            "items": [{"key": receiver.secret.secret_key, "path": "secret"}],
            "default_mode": 0o440,
            "optional": True,
        },
    }
