"""Services that lead to the metrics of pods."""

from collections.abc import Mapping

from pulumi_kubernetes.core.v1 import ServiceSpecArgsDict


def metrics_service(pods: Mapping[str, str], port: int, port_name: str) -> ServiceSpecArgsDict:
    """A Service that is looked up and not connected to: each of its pods is scraped, most of all one that is unwell."""
    return {
        "type": "ClusterIP",
        "cluster_ip": "None",
        "selector": dict(pods),
        "publish_not_ready_addresses": True,
        "ports": [{"name": port_name, "port": port, "target_port": port_name, "protocol": "TCP"}],
    }
