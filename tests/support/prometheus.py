"""What Prometheus makes of its configuration: the relabelings that the stack uses, and its discovery."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from tests.support.graph import Graph


def config(graph: Graph) -> dict[str, Any]:
    """The configuration of the stack's Prometheus."""
    return yaml.safe_load(graph.one("ConfigMap", "prometheus-config").props["data"]["prometheus.yml"])


def relabeled(rules: list[Mapping[str, Any]], labels: Mapping[str, str]) -> dict[str, str] | None:
    """The labels after Prometheus' relabelings, of which the actions that the stack uses are known; `None`: dropped."""
    result = dict(labels)
    for rule in rules:
        value = ";".join(result.get(name, "") for name in rule["source_labels"])
        match = re.fullmatch(rule.get("regex", "(.*)"), value, re.DOTALL)
        if rule.get("action") in ("keep", "drop"):
            if (match is None) == (rule["action"] == "keep"):
                return None
        elif match is not None:
            template = re.sub(r"\$\{?(\d+)\}?", r"\\\1", rule.get("replacement", "$1"))
            result[rule["target_label"]] = match.expand(template)
    return {name: value for name, value in result.items() if value}


def discovered(service: Mapping[str, Any], pod: str, address: str) -> dict[str, str]:
    """What Prometheus' discovery knows of an endpoint of a Service."""
    metadata = service["metadata"]

    def escaped(name: str) -> str:
        return re.sub(r"[^a-zA-Z0-9_]", "_", name)

    return {
        "__address__": address,
        "__scheme__": "http",
        "__metrics_path__": "/metrics",
        "__meta_kubernetes_namespace": metadata["namespace"],
        "__meta_kubernetes_service_name": metadata["name"],
        "__meta_kubernetes_pod_name": pod,
        "__meta_kubernetes_pod_phase": "Running",
        **{f"__meta_kubernetes_service_label_{escaped(key)}": value for key, value in metadata["labels"].items()},
        **{
            f"__meta_kubernetes_service_annotation_{escaped(key)}": value
            for key, value in metadata.get("annotations", {}).items()
        },
    }
