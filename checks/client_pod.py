"""A pod for programs that are clients of the stack: as confined as the stack's own, and gone after a while."""

from collections.abc import Mapping, Sequence

from checks.kube import Object
from components import pgpool, postgres
from components.kube.security import UID

POSTGRES_LABELS = dict([postgres.CLIENT_LABEL, pgpool.CLIENT_LABEL])
"""What lets a pod in to PostgreSQL, directly and through Pgpool-II."""

LOGIN = "/run/secrets/postgres"
"""Where `POSTGRES_LOGIN` has the files `username` and `password`."""

POSTGRES_LOGIN = {LOGIN: {"secret": {"secretName": postgres.APPLICATION, "defaultMode": 0o440}}}
_LIFETIME = 4 * 3600  # seconds, for a pod that an interrupted run leaves behind


def manifest(
    name: str,
    image: str,
    *,
    labels: Mapping[str, str],
    volumes: Mapping[str, Object],
    command: Sequence[str] = ("sleep", "infinity"),
    uid: int = UID,
) -> Object:
    """A pod with one container.

    Args:
        name: of the pod.
        image: of the container.
        labels: those that NetworkPolicies let in.
        volumes: sources of volumes by the folder where the container sees them, to read only.
        command: what it runs; by itself it waits for programs that are run in it.
        uid: the user and the group of its processes and of its volumes.
    """
    names = {folder: f"volume-{number}" for number, folder in enumerate(volumes)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": dict(labels)},
        "spec": {
            "activeDeadlineSeconds": _LIFETIME,
            "automountServiceAccountToken": False,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": uid,
                "fsGroup": uid,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "client",
                    "image": image,
                    "command": list(command),
                    "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                        "readOnlyRootFilesystem": True,
                    },
                    "volumeMounts": [
                        {"name": name, "mountPath": folder, "readOnly": True} for folder, name in names.items()
                    ],
                }
            ],
            "volumes": [{"name": names[folder], **source} for folder, source in volumes.items()],
        },
    }
