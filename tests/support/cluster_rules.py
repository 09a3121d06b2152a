"""Which pods a selector picks, and who may connect to whom, decided as the cluster would decide it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.graph import Graph, Resource

NAMESPACE_LABEL = "kubernetes.io/metadata.name"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pod:
    """What selectors see of a pod.

    Attributes:
        workload: name of the workload that makes it; empty for one from elsewhere.
        namespace: where it runs.
        labels: its labels.
        ports: container ports by name.
    """

    workload: str = ""
    namespace: str
    labels: Mapping[str, str]
    ports: Mapping[str, int]


def pods(graph: Graph) -> tuple[Pod, ...]:
    """One pod of each workload of the graph, and one of each object that an operator makes pods of."""
    own = tuple(
        Pod(
            workload=workload.object_name,
            namespace=workload.props["metadata"]["namespace"],
            labels=workload.pod["metadata"]["labels"],
            ports={
                port["name"]: port["containerPort"]
                for container in workload.containers
                for port in container.get("ports", [])
            },
        )
        for workload in graph.workloads()
    )
    return own + tuple(_pod_of_cluster(cluster) for cluster in graph.all("Cluster"))


def _pod_of_cluster(cluster: Resource) -> Pod:
    """As CloudNativePG makes it (`pkg/specs/pods.go` of 1.30)."""
    inherited = cluster.spec.get("inheritedMetadata", {}).get("labels", {})
    return Pod(
        workload=cluster.object_name,
        namespace=cluster.props["metadata"]["namespace"],
        labels={**inherited, "cnpg.io/cluster": cluster.object_name},
        ports={"postgresql": 5432, "status": 8000, "metrics": 9187},
    )


def stranger(namespace: str, **labels: str) -> Pod:
    """A pod that is not of the graph; `_` stands for `-` in the names of labels."""
    return Pod(namespace=namespace, labels={key.replace("_", "-"): value for key, value in labels.items()}, ports={})


def picks(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector picks what has `labels`.

    Raises:
        NotImplementedError: it holds something else than `matchLabels`.
    """
    if selector.keys() - {"matchLabels"}:
        raise NotImplementedError(f"only matchLabels is understood, not {sorted(selector)}")
    return selector.get("matchLabels", {}).items() <= labels.items()


def picked_by(graph: Graph, resource: Resource) -> list[str]:
    """Names of the workloads whose pods a Service, PodDisruptionBudget or NetworkPolicy picks, sorted."""
    selector = {
        "Service": lambda spec: {"matchLabels": spec["selector"]},
        "PodDisruptionBudget": lambda spec: spec["selector"],
        "NetworkPolicy": lambda spec: spec["podSelector"],
    }[resource.kind](resource.spec)
    namespace = resource.props["metadata"]["namespace"]
    return sorted(pod.workload for pod in pods(graph) if pod.namespace == namespace and picks(selector, pod.labels))


def may_connect(graph: Graph, source: Pod, target: str, port: int) -> bool:
    """Whether the graph's NetworkPolicies let `source` reach a TCP port of the pods of workload `target`."""
    (destination,) = [pod for pod in pods(graph) if pod.workload == target]
    policies = [policy for policy in graph.all("NetworkPolicy") if target in picked_by(graph, policy)]
    if not policies:
        return True
    rules = [rule for policy in policies for rule in policy.spec.get("ingress", [])]
    return any(_lets_in(rule, source, destination.namespace, port) for rule in rules)


def _lets_in(rule: Mapping[str, Any], source: Pod, namespace: str, port: int) -> bool:
    ports: Sequence[Mapping[str, Any]] = rule.get("ports", [{"protocol": "TCP", "port": port}])
    if {"protocol": "TCP", "port": port} not in ports:
        return False
    return "from" not in rule or any(_is_peer(peer, source, namespace) for peer in rule["from"])


def _is_peer(peer: Mapping[str, Any], source: Pod, namespace: str) -> bool:
    if peer.keys() - {"podSelector", "namespaceSelector"}:
        raise NotImplementedError(f"only selectors of pods and namespaces are understood, not {sorted(peer)}")
    if "namespaceSelector" in peer:
        namespace_fits = picks(peer["namespaceSelector"], {NAMESPACE_LABEL: source.namespace})
    else:
        namespace_fits = source.namespace == namespace
    return namespace_fits and picks(peer.get("podSelector", {}), source.labels)
