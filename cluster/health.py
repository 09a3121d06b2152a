"""Is the cluster well? Asked of the API server, the kubelet and the container runtime, each for what it knows best."""

import time
from typing import Any

import httpx2

from cluster import addons, api, containerd, process
from cluster.errors import ClusterError
from cluster.instance import Instance

_ADDON_NAMESPACES = frozenset(namespace for namespace, _ in addons.DEPLOYMENTS)


def problems(instance: Instance) -> list[str]:
    """Return one sentence for each thing that is not well; none for a healthy cluster."""
    try:
        with api.client(instance) as client:
            return _server_problems(client, instance) or [
                *_node_problems(_items(client, "/api/v1/nodes"), instance),
                *_deployment_problems(_items(client, "/apis/apps/v1/deployments")),
                *_pod_problems(
                    _items(client, "/api/v1/pods"),
                    known={pod["metadata"]["uid"] for pod in _items(client, f"{_kubelet_url(instance)}/pods")},
                    running=containerd.running_containers(instance),
                ),
            ]
    except (httpx2.HTTPError, OSError, ClusterError) as error:
        return [str(error)]


def wait_for_api(instance: Instance, seconds: float) -> None:
    """Wait until the API server serves, its database included.

    Raises:
        ClusterError: it does not after that many seconds; ends with the last lines of its log.
    """
    deadline = time.monotonic() + seconds
    while not api_answers(instance):
        if time.monotonic() > deadline:
            log = process.log_tail(instance, "kube-apiserver")
            raise ClusterError(f"the API server of {instance.full_name} is not ready after {seconds:.0f} s:\n{log}")
        time.sleep(0.1)


def api_answers(instance: Instance) -> bool:
    """Return whether the API server serves, its database included."""
    with api.client(instance) as client:
        return _is_success(client, "/readyz")


def wait_until_well(instance: Instance, seconds: float) -> None:
    """Wait until nothing is wrong.

    Raises:
        ClusterError: something still is after that many seconds; the text has all of it.
    """
    deadline = time.monotonic() + seconds
    while found := problems(instance):
        if time.monotonic() > deadline:
            raise ClusterError(f"{instance.full_name} is not well after {seconds:.0f} s: {'; '.join(found)}")
        time.sleep(0.25)


def _server_problems(client: httpx2.Client, instance: Instance) -> list[str]:
    health_of = {"API server": "/readyz", "kubelet": f"{_kubelet_url(instance)}/healthz"}
    return [f"the {server} does not answer" for server, url in health_of.items() if not _is_success(client, url)]


def _kubelet_url(instance: Instance) -> str:
    return f"https://{instance.node_address}:10250"


def _is_success(client: httpx2.Client, url: str) -> bool:
    try:
        return client.get(url).is_success
    except httpx2.HTTPError:
        return False


def _items(client: httpx2.Client, path: str) -> list[dict[str, Any]]:
    return client.get(path).raise_for_status().json()["items"] or []  # the kubelet says null for none


def _is_true(condition_type: str, found: dict[str, Any]) -> bool:
    conditions = found.get("status", {}).get("conditions", [])
    return any(c["type"] == condition_type and c["status"] == "True" for c in conditions)


def _node_problems(nodes: list[dict[str, Any]], instance: Instance) -> list[str]:
    ready = [node["metadata"]["name"] for node in nodes if _is_true("Ready", node)]
    return [] if instance.full_name in ready else [f"the node {instance.full_name} is not Ready"]


def _deployment_problems(deployments: list[dict[str, Any]]) -> list[str]:
    available = {(d["metadata"]["namespace"], d["metadata"]["name"]) for d in deployments if _is_true("Available", d)}
    return [f"{ns}/{name} is not available" for ns, name in addons.DEPLOYMENTS if (ns, name) not in available]


def _pod_problems(pods: list[dict[str, Any]], known: set[str], running: set[str]) -> list[str]:
    """Compare what the API server says of pods with what there is: after a crash its word is old for some seconds.

    A pod of somebody else that is not ready is not the cluster's problem; one of an add-on is.

    Args:
        pods: the API server's word.
        known: uids of the pods that the kubelet looks after.
        running: ids of the containers that have a process.
    """
    found = []
    for pod in pods:
        name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        statuses = pod["status"].get("containerStatuses", [])
        said_to_run = {s["containerID"].removeprefix("containerd://") for s in statuses if "running" in s["state"]}
        if said_to_run and pod["metadata"]["uid"] not in known:
            found.append(f"the kubelet does not know pod {name} yet")
        elif said_to_run - running:
            found.append(f"a container of pod {name} is gone")
        elif pod["metadata"]["namespace"] in _ADDON_NAMESPACES and pod["status"].get("phase") == "Running":
            found += [] if _is_true("Ready", pod) else [f"pod {name} is not ready"]
    return found
