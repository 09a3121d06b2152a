"""NetworkPolicies: each component lets in its clients and the scraper, nobody else."""

from collections.abc import Mapping, Sequence

from pulumi_kubernetes.networking.v1 import (
    NetworkPolicyIngressRuleArgsDict,
    NetworkPolicyPeerArgsDict,
    NetworkPolicySpecArgsDict,
)


def ingress_policy(
    selector: Mapping[str, str], rules: Sequence[NetworkPolicyIngressRuleArgsDict]
) -> NetworkPolicySpecArgsDict:
    """Only what `rules` name may reach the pods of `selector`; no rule, nobody."""
    return {"pod_selector": {"match_labels": dict(selector)}, "policy_types": ["Ingress"], "ingress": list(rules)}


def allow(port: int, peers: Sequence[NetworkPolicyPeerArgsDict]) -> NetworkPolicyIngressRuleArgsDict:
    """`peers` may reach the TCP `port`."""
    return {"from_": list(peers), "ports": [{"protocol": "TCP", "port": port}]}


def allow_anyone(port: int) -> NetworkPolicyIngressRuleArgsDict:
    """Whoever can reach the pod may reach the TCP `port`."""
    return {"ports": [{"protocol": "TCP", "port": port}]}


def pods(match_labels: Mapping[str, str]) -> NetworkPolicyPeerArgsDict:
    """The pods of the same namespace with these labels."""
    return {"pod_selector": {"match_labels": dict(match_labels)}}


def namespace(name: str) -> NetworkPolicyPeerArgsDict:
    """All pods of the namespace `name`."""
    return {"namespace_selector": {"match_labels": {"kubernetes.io/metadata.name": name}}}
