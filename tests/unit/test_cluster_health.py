"""What health says of a cluster's pods, from the API server's word and the container runtime's."""

from typing import Any

from cluster import addons, health
from cluster.instance import get


def _pod(namespace: str, container: str, ready: bool = True, state: str = "running") -> dict[str, Any]:
    return {
        "metadata": {"namespace": namespace, "name": "some-pod", "uid": "1"},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [{"containerID": f"containerd://{container}", "state": {state: {}}}],
        },
    }


def test_a_pod_that_runs_is_no_problem() -> None:
    assert health._pod_problems([_pod("demo", "a"), _pod("kube-system", "b")], known={"1"}, running={"a", "b"}) == []


def test_a_pod_that_the_api_still_calls_running_after_its_process_was_killed_is_one() -> None:
    assert health._pod_problems([_pod("demo", "a")], known={"1"}, running={"b"}) == [
        "a container of pod demo/some-pod is gone"
    ]


def test_a_pod_that_a_new_kubelet_has_not_taken_over_yet_is_one() -> None:
    found = health._pod_problems([_pod("demo", "a")], known=set(), running={"a"})
    assert found == ["the kubelet does not know pod demo/some-pod yet"]


def test_a_container_that_is_known_to_have_ended_is_none() -> None:
    assert health._pod_problems([_pod("demo", "a", state="terminated")], known={"1"}, running=set()) == []


def test_only_the_pods_of_addons_must_be_ready() -> None:
    assert health._pod_problems([_pod("demo", "a", ready=False)], known={"1"}, running={"a"}) == []
    found = health._pod_problems([_pod("traefik", "a", ready=False)], known={"1"}, running={"a"})
    assert found == ["pod traefik/some-pod is not ready"]


def test_a_pod_that_has_not_started_anything_yet_is_none() -> None:
    waiting = {"metadata": {"namespace": "demo", "name": "new", "uid": "2"}, "status": {"phase": "Pending"}}
    assert health._pod_problems([waiting], known={"1"}, running=set()) == []


def test_an_addon_that_is_missing_or_not_available_is_named() -> None:
    def deployment(namespace: str, name: str, available: str) -> dict[str, Any]:
        conditions = [{"type": "Available", "status": available}]
        return {"metadata": {"namespace": namespace, "name": name}, "status": {"conditions": conditions}}

    everything = [deployment(namespace, name, "True") for namespace, name in addons.DEPLOYMENTS]
    assert health._deployment_problems(everything) == []
    unavailable = [deployment("kube-system", "coredns", "False"), *everything[1:2]]
    assert health._deployment_problems(unavailable) == [
        "kube-system/coredns is not available",
        "traefik/traefik is not available",
    ]


def test_the_node_must_be_ready_and_be_ours() -> None:
    def node(name: str, ready: str) -> dict[str, Any]:
        return {"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": ready}]}}

    dev = get("dev")
    assert health._node_problems([node("hotstack-dev", "True")], dev) == []
    for nodes in ([], [node("hotstack-dev", "Unknown")], [node("hotstack-test", "True")]):
        assert health._node_problems(nodes, dev) == ["the node hotstack-dev is not Ready"]
