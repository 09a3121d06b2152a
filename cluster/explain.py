"""Why pods are not ready, in a line each: what a failed `pulumi up` leaves out."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

Pod = Mapping[str, Any]


def unready_pods(context: str, namespace: str, environment: Mapping[str, str]) -> list[str]:
    """Return one line for each pod of a namespace that is not ready; none when kubectl cannot tell.

    Args:
        context: the kube context.
        namespace: where the stack lives.
        environment: what is to be added to this process's own, for kubectl to be found and to find the cluster.
    """
    command = ["kubectl", f"--context={context}", f"--namespace={namespace}", "get", "pods", "--output=json"]
    try:
        done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=20)
        pods = json.loads(done.stdout)["items"] if done.returncode == 0 else []
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return []
    return [f"{pod['metadata']['name']}: {'; '.join(reasons(pod))}" for pod in pods if not is_ready(pod)]


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
