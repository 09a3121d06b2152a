"""Why pods and databases are not ready, in a line each: what a failed `pulumi up` leaves out."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

Object = Mapping[str, Any]
Pod = Object
_HEALTHY = "Cluster in healthy state"


def unready_pods(context: str, namespace: str, environment: Mapping[str, str]) -> list[str]:
    """Return one line for each pod of a namespace that is not ready; none when kubectl cannot tell.

    Args:
        context: the kube context.
        namespace: where the stack lives.
        environment: what is to be added to this process's own, for kubectl to be found and to find the cluster.
    """
    pods = _objects("pods", context, namespace, environment)
    return [f"{pod['metadata']['name']}: {'; '.join(reasons(pod))}" for pod in pods if not is_ready(pod)]


def unhealthy_databases(context: str, namespace: str, environment: Mapping[str, str]) -> list[str]:
    """Return one line for each of CloudNativePG's clusters that is not healthy, in the operator's words.

    Args: see `unready_pods`.
    """
    found = _objects("clusters.postgresql.cnpg.io", context, namespace, environment)
    return [f"{each['metadata']['name']}: {complaint}" for each in found if (complaint := database_complaint(each))]


def database_complaint(cluster: Object) -> str:
    """What the operator says of a `Cluster` that is not healthy; empty for one that is."""
    status = cluster.get("status", {})
    phase = status.get("phase", "the operator has not looked at it: does it run?")
    if phase == _HEALTHY:
        return ""
    words = [phase, status.get("phaseReason")]
    # What says that it is not ready says no more than the phase does.
    refused = [each for each in status.get("conditions", []) if each["status"] == "False" and each["type"] != "Ready"]
    words += [f"{each['type']} is false, {each.get('message', each['reason'])}" for each in refused]
    return "; ".join(" ".join(word.split()) for word in words if word)


def _objects(kind: str, context: str, namespace: str, environment: Mapping[str, str]) -> list[Object]:
    """The objects of a kind; none when kubectl cannot tell, as of a kind that the cluster does not know."""
    command = ["kubectl", f"--context={context}", f"--namespace={namespace}", "get", kind, "--output=json"]
    try:
        done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=20)
        return json.loads(done.stdout)["items"] if done.returncode == 0 else []
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return []


def is_ready(pod: Pod) -> bool:
    """Whether a pod is Ready, or has ended well."""
    status = pod["status"]
    conditions = status.get("conditions", [])
    ready = any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
    return ready or status.get("phase") == "Succeeded"


def reasons(pod: Pod) -> Iterator[str]:
    """What Kubernetes says of a pod that is not ready: why it is not scheduled, what its containers wait for."""
    status = pod["status"]
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield condition.get("message", "not scheduled")
    for container in status.get("initContainerStatuses", []) + status.get("containerStatuses", []):
        if container["ready"]:
            continue
        state = container["state"].get("waiting") or container["state"].get("terminated") or {}
        last = container.get("lastState", {}).get("terminated", {})
        words = [state.get("reason", "runs, but is not ready"), state.get("message"), last.get("message")]
        yield f"{container['name']} {' - '.join(' '.join(word.split()) for word in words if word)}"
    yield "`kubectl describe pod` says more"
