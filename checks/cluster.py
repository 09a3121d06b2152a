"""Checks of the cluster under the stack."""

from checks.kube import Object
from checks.outcome import CheckError
from checks.stack import Stack


def kube_system_pods(stack: Stack) -> str:
    """All pods of kube-system are running; those of a job that is done may be done too."""
    pods = stack.kube.objects("pods", namespace="kube-system")
    if not pods:
        raise CheckError("there is no pod in kube-system")
    if problems := [problem for pod in pods if (problem := not_running(pod))]:
        raise CheckError("; ".join(problems))
    return f"{len(pods)} running: {', '.join(pod['metadata']['name'] for pod in pods)}"


def not_running(pod: Object) -> str | None:
    """What is wrong with a pod; `None` when it runs with every container ready, or ended well."""
    name, status = pod["metadata"]["name"], pod["status"]
    if status["phase"] == "Succeeded":
        return None
    if status["phase"] != "Running":
        return f"{name} is {status['phase']}"
    # A container that crashes again and again leaves its pod in the phase Running.
    unready = [container["name"] for container in status.get("containerStatuses", []) if not container["ready"]]
    return f"{name} has containers that are not ready: {', '.join(unready)}" if unready else None


def node_address(stack: Stack) -> str:
    """The InternalIP of the first node.

    Raises:
        CheckError: no node has one.
    """
    for node in stack.kube.objects("nodes"):
        for address in node["status"].get("addresses", []):
            if address["type"] == "InternalIP":
                return address["address"]
    raise CheckError("no node has an InternalIP")
