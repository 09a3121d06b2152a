"""The objects of mode `operator`: bodies for prometheus-operator, whose field names are those of its API."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic.alias_generators import to_camel

from components.endpoints import MetricsEndpoint, Relabeling

API = "monitoring.coreos.com/v1"

Body = dict[str, Any]


def monitor_kind(endpoint: MetricsEndpoint) -> str:
    """`ServiceMonitor` where a Service leads to the metrics, else `PodMonitor`."""
    return "PodMonitor" if endpoint.service is None else "ServiceMonitor"


def monitor_spec(endpoint: MetricsEndpoint, interval: int, timeout: int) -> Body:
    """The spec of the ServiceMonitor or PodMonitor of a part.

    Args:
        endpoint: where its metrics are.
        interval: seconds between two scrapes.
        timeout: seconds that one may take.
    """
    scrape: Body = {
        "port": endpoint.port_name,
        "path": endpoint.path,
        "interval": f"{interval}s",
        "scrapeTimeout": f"{timeout}s",
        # The operator's own idea of a job is the Service's name.
        "relabelings": [{"targetLabel": "job", "replacement": endpoint.job}],
    }
    if endpoint.relabelings:
        scrape["metricRelabelings"] = [relabeling(item) for item in endpoint.relabelings]
    if endpoint.service is None:
        return {"selector": {"matchLabels": dict(endpoint.pods)}, "podMetricsEndpoints": [scrape]}
    return {"selector": {"matchLabels": dict(endpoint.service)}, "endpoints": [scrape]}


def relabeling(item: Relabeling) -> Body:
    """A relabeling of Prometheus as the operator writes it."""
    return {to_camel(key): value for key, value in item.items()}


def rule_spec(groups: Sequence[Mapping[str, Any]], evaluation_interval: int) -> Body:
    """The spec of a PrometheusRule.

    Args:
        groups: of rules.
        evaluation_interval: seconds, for those that have none of their own; the cluster's Prometheus has another.
    """
    return {"groups": [{"interval": f"{evaluation_interval}s", **group} for group in groups]}
