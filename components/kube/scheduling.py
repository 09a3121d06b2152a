"""Where pods may run and what they may use: resources, spread, disruption budgets."""

from collections.abc import Mapping

from pulumi_kubernetes.core.v1 import ResourceRequirementsArgsDict, TopologySpreadConstraintArgsDict
from pulumi_kubernetes.policy.v1 import PodDisruptionBudgetSpecArgsDict

from components.model import Resources, Spread


def resource_requirements(resources: Resources) -> ResourceRequirementsArgsDict:
    """Requests and limits of a container."""
    fixed = {"memory": resources.memory, "ephemeral-storage": resources.ephemeral_storage}
    return {"requests": {"cpu": resources.cpu, **fixed}, "limits": {"cpu": resources.cpu_limit, **fixed}}


def topology_spread(selector: Mapping[str, str], spread: Spread, pods: int) -> list[TopologySpreadConstraintArgsDict]:
    """The `pods` of `selector` apart from each other, by node and by zone.

    Zones stay a preference even when `spread` is `hard`: a cluster in one zone has no zone label at all.
    """
    by_node: TopologySpreadConstraintArgsDict = {
        "max_skew": 1,
        "topology_key": "kubernetes.io/hostname",
        "when_unsatisfiable": "ScheduleAnyway",
        "label_selector": {"match_labels": dict(selector)},
    }
    if spread == "hard":
        by_node["when_unsatisfiable"] = "DoNotSchedule"
        # With fewer nodes than pods, a second pod on a node would otherwise be within the skew.
        by_node["min_domains"] = pods
    by_zone: TopologySpreadConstraintArgsDict = {
        "max_skew": 1,
        "topology_key": "topology.kubernetes.io/zone",
        "when_unsatisfiable": "ScheduleAnyway",
        "label_selector": {"match_labels": dict(selector)},
    }
    return [by_node, by_zone]


def disruption_budget(selector: Mapping[str, str]) -> PodDisruptionBudgetSpecArgsDict:
    """At most one pod of `selector` away at a time by a drain or an upgrade of nodes."""
    return {
        "max_unavailable": 1,
        "selector": {"match_labels": dict(selector)},
        # A pod that never got ready must not keep a node from being drained.
        "unhealthy_pod_eviction_policy": "AlwaysAllow",
    }
