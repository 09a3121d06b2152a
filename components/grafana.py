"""Grafana beside a Prometheus of the stack's own: a datasource and the dashboards, from files that it reads."""

from collections.abc import Mapping

from pulumi_kubernetes.core.v1 import ContainerArgsDict, PodSpecArgsDict
from pydantic import Field

from components import plain_yaml
from components.endpoints import SecretKey
from components.kube.pods import container_base, http_probe, pod_base
from components.kube.scheduling import topology_spread
from components.kube.security import scratch_mount, scratch_volume
from components.model import Image, Resources, Settings

GRAFANA = "grafana"
PORT = 3000
STATE = "256Mi"  # users, and what they starred; dashboards are files
_PROVISIONING = "/etc/grafana/provisioning"
_DASHBOARDS = "/etc/grafana/dashboards"
_PASSWORD = "/run/secrets/grafana"  # noqa: S105 - a folder's path


class Grafana(Settings):
    """A Grafana with the dashboards in it."""

    image: Image = Field(description="Of Grafana 12, as `docker.io/grafana/grafana:…@sha256:…`.")
    admin_rotation: int = Field(
        default=1, ge=1, description="Raise it for a new password of `admin` for a Grafana whose volume is new."
    )
    resources: Resources = Resources(memory="256Mi")


def config_files(prometheus: str) -> dict[str, str]:
    """The files of `grafana-config`.

    Args:
        prometheus: URL of Prometheus.
    """
    source = {"name": "Prometheus", "type": "prometheus", "access": "proxy", "url": prometheus, "isDefault": True}
    folder = {"name": "hotstack", "type": "file", "allowUiUpdates": False, "options": {"path": _DASHBOARDS}}
    return {
        "datasource.yaml": plain_yaml.text({"apiVersion": 1, "datasources": [source]}),
        "dashboards.yaml": plain_yaml.text({"apiVersion": 1, "providers": [folder]}),
    }


def pod(image: str, settings: Grafana, password: SecretKey, selector: Mapping[str, str]) -> PodSpecArgsDict:
    """The pod of Grafana, which asks nobody on the internet for anything."""
    environment = {
        "GF_SECURITY_ADMIN_PASSWORD__FILE": f"{_PASSWORD}/password",
        "GF_PATHS_DATA": "/var/lib/grafana",
        "GF_PATHS_PLUGINS": "/var/lib/grafana/plugins",
        "GF_LOG_MODE": "console",
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
        "GF_PLUGINS_PREINSTALL_DISABLED": "true",
        "GF_NEWS_NEWS_FEED_ENABLED": "false",
    }
    container: ContainerArgsDict = {
        **container_base(GRAFANA, image, settings.resources),
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "ports": [{"name": "http", "container_port": PORT, "protocol": "TCP"}],
        "startup_probe": http_probe("/api/health", period=1, failures=120),
        "liveness_probe": http_probe("/api/health", period=10, failures=6),
        "readiness_probe": http_probe("/api/health", period=5, failures=3),
        "volume_mounts": [
            {
                "name": "config",
                "mount_path": f"{_PROVISIONING}/datasources/prometheus.yaml",
                "sub_path": "datasource.yaml",
                "read_only": True,
            },
            {
                "name": "config",
                "mount_path": f"{_PROVISIONING}/dashboards/hotstack.yaml",
                "sub_path": "dashboards.yaml",
                "read_only": True,
            },
            {"name": "dashboards", "mount_path": _DASHBOARDS, "read_only": True},
            {"name": "password", "mount_path": _PASSWORD, "read_only": True},
            {"name": "data", "mount_path": "/var/lib/grafana"},
            scratch_mount("tmp", "/tmp"),  # noqa: S108 - an emptyDir of the pod's own
        ],
    }
    return {
        **pod_base(GRAFANA, [container]),
        "topology_spread_constraints": topology_spread(selector, "soft", 1),
        "termination_grace_period_seconds": 15,
        "volumes": [
            {"name": "config", "config_map": {"name": "grafana-config"}},
            {"name": "dashboards", "config_map": {"name": "grafana-dashboards"}},
            {
                "name": "password",
                "secret": {
                    "secret_name": password.name,
                    "items": [{"key": password.key, "path": "password"}],
                    "default_mode": 0o440,
                },
            },
            scratch_volume("tmp"),
        ],
    }
