"""Rules over one Kubernetes object: each takes a manifest and returns what it violates, one sentence each.

A rule that does not concern the object's kind returns nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Manifest = Mapping[str, Any]
Rule = Callable[[Manifest], list[str]]

_HOST_FIELDS = ("hostNetwork", "hostPID", "hostIPC")
_VOLUME_TYPES = frozenset(
    {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)
_BOUNDED = ("cpu", "memory", "ephemeral-storage")
_VERSION_LABELS = frozenset({"version", "app.kubernetes.io/version", "helm.sh/chart"})


def restricted_pods(manifest: Manifest) -> list[str]:
    """Pods fit the Pod Security level `restricted`, and their root filesystem is read-only on top."""
    pod = pod_spec(manifest)
    if pod is None:
        return []
    found = [f"the pod sets {field}" for field in _HOST_FIELDS if field in pod]
    found += [f"the pod sets sysctl {sysctl['name']}" for sysctl in pod.get("securityContext", {}).get("sysctls", [])]
    for volume in pod.get("volumes", []):
        if not volume.keys() - {"name"} <= _VOLUME_TYPES:
            found.append(f"volume {volume['name']} is of a type that leads out of the pod")
    for container in containers(pod):
        context = {**pod.get("securityContext", {}), **container.get("securityContext", {})}
        found += [f"container {container['name']} {reason}" for reason in _unrestricted(context)]
        if any("hostPort" in port for port in container.get("ports", [])):
            found.append(f"container {container['name']} takes a port of the node")
    return found


def _unrestricted(context: Manifest) -> Iterator[str]:
    capabilities = context.get("capabilities", {})
    if context.get("privileged", False):
        yield "is privileged"
    if context.get("allowPrivilegeEscalation") is not False:
        yield "may gain privileges"
    if not context.get("runAsNonRoot", False) or context.get("runAsUser") == 0:
        yield "may run as root"
    if "ALL" not in capabilities.get("drop", []) or not set(capabilities.get("add", [])) <= {"NET_BIND_SERVICE"}:
        yield "keeps capabilities"
    if context.get("seccompProfile", {}).get("type") not in {"RuntimeDefault", "Localhost"}:
        yield "has no seccomp profile"
    if context.get("procMount", "Default") != "Default":
        yield "sees more of /proc than its own"
    if not context.get("readOnlyRootFilesystem", False):
        yield "may write to its root filesystem"


def bounded_resources(manifest: Manifest) -> list[str]:
    """Every container requests, and is limited in, CPU, memory and local storage; every emptyDir has a size."""
    pod = pod_spec(manifest) or {}
    found = [
        f"container {container['name']} has no {name} in {part}"
        for container in containers(pod)
        for part in ("requests", "limits")
        for name in _BOUNDED
        if name not in container.get("resources", {}).get(part, {})
    ]
    scratch = [volume for volume in pod.get("volumes", []) if "emptyDir" in volume]
    return found + [
        f"volume {volume['name']} has no sizeLimit" for volume in scratch if "sizeLimit" not in volume["emptyDir"]
    ]


def failures_leave_a_message(manifest: Manifest) -> list[str]:
    """The last log lines of a failed container are its termination message, which `pulumi up` shows."""
    return [
        f"container {container['name']} does not fall back to logs on error"
        for container in containers(pod_spec(manifest) or {})
        if container.get("terminationMessagePolicy") != "FallbackToLogsOnError"
    ]


def no_service_account_token(manifest: Manifest) -> list[str]:
    """No pod is given credentials of the API server, by itself or by its service account."""
    if manifest["kind"] == "ServiceAccount":
        return _token_mounted(manifest, "the service account")
    pod = pod_spec(manifest)
    return [] if pod is None else _token_mounted(pod, "the pod")


def _token_mounted(owner: Manifest, name: str) -> list[str]:
    return [] if owner.get("automountServiceAccountToken") is False else [f"{name} mounts a token of the API server"]


def selectors_without_version(manifest: Manifest) -> list[str]:
    """No selector holds a label that an upgrade changes."""
    spec = manifest.get("spec", {})
    selector = spec.get("selector", spec.get("podSelector", {}))
    # A Service's selector is the labels themselves.
    keys = {
        *selector,
        *selector.get("matchLabels", {}),
        *(item["key"] for item in selector.get("matchExpressions", [])),
    }
    return [f"the selector holds {label}" for label in sorted(_VERSION_LABELS & keys)]


def pinned_images(manifest: Manifest) -> list[str]:
    """Every image is named by digest, so that two runs of one object are two runs of one program."""
    return [
        f"container {container['name']} runs {container['image']}, which is not pinned by digest"
        for container in containers(pod_spec(manifest) or {})
        if "@sha256:" not in container["image"]
    ]


EVERYWHERE: Sequence[Rule] = (
    restricted_pods,
    bounded_resources,
    failures_leave_a_message,
    no_service_account_token,
    selectors_without_version,
)
"""The rules for every stack."""

PUBLISHED: Sequence[Rule] = (*EVERYWHERE, pinned_images)
"""The rules for stacks that run images which others built."""


def violations(manifest: Manifest, rules: Sequence[Rule]) -> list[str]:
    """What `manifest` violates of `rules`: `StatefulSet redis: volume data has no sizeLimit`."""
    name = f"{manifest['kind']} {manifest.get('metadata', {}).get('name', '')}".strip()
    return [f"{name}: {reason}" for rule in rules for reason in rule(manifest)]


def pod_spec(manifest: Manifest) -> Manifest | None:
    """The spec of the pods that an object is or makes; `None` when it makes none."""
    spec = manifest.get("spec", {})
    if manifest["kind"] == "Pod":
        return spec
    if manifest["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    return spec["template"]["spec"] if "template" in spec else None


def containers(pod: Manifest) -> list[Manifest]:
    """All containers of a pod, those that only run at its start included."""
    return [*pod.get("initContainers", []), *pod.get("containers", [])]
