"""The instance's API server, seen from the host by its administrator."""

import ssl
import subprocess
from pathlib import Path

import httpx2

from cluster.errors import ClusterError
from cluster.instance import Instance

_TIMEOUT_SECONDS = 5.0


def client(instance: Instance) -> httpx2.Client:
    """Return a client that knows the instance's CA and carries the administrator's certificate.

    Its base is the API server; the kubelet can be asked with it too.
    """
    context = ssl.create_default_context(cafile=str(instance.pki / "ca.crt"))
    context.load_cert_chain(instance.pki / "admin.crt", instance.pki / "admin.key")
    return httpx2.Client(base_url=instance.api_url, verify=context, timeout=_TIMEOUT_SECONDS, trust_env=False)


def images_of_pods(instance: Instance) -> set[str]:
    """Return the images that pods name, also those that have yet to start.

    Raises:
        ClusterError: the API server does not answer.
    """
    try:
        with client(instance) as opened:
            pods = opened.get("/api/v1/pods").raise_for_status().json()["items"]
    except httpx2.HTTPError as error:
        raise ClusterError(f"the API server of {instance.full_name} does not name its pods: {error}") from error
    kinds = ("initContainers", "containers")
    return {container["image"] for pod in pods for kind in kinds for container in pod["spec"].get(kind, [])}


def apply(instance: Instance, kubernetes: Path, manifests: str) -> None:
    """Apply YAML documents, server-side.

    Args:
        kubernetes: the binary that is kubectl too.

    Raises:
        ClusterError: kubectl failed; ends with its own words.
    """
    command = [str(kubernetes), "kubectl", f"--kubeconfig={instance.pki}/admin.kubeconfig", "apply"]
    command += ["--server-side", "--force-conflicts", "--filename=-"]
    done = subprocess.run(command, input=manifests, capture_output=True, text=True)
    if done.returncode != 0:
        raise ClusterError(f"the add-ons of {instance.full_name} could not be applied:\n{done.stderr.strip()}")
