"""The security of every pod: what Pod Security `restricted` asks for, and a read-only root filesystem on top."""

from pulumi_kubernetes.core.v1 import (
    PodSecurityContextArgsDict,
    SecurityContextArgsDict,
    VolumeArgsDict,
    VolumeMountArgsDict,
)

UID = 10001
"""User and group of all application containers: above 10000, so that it is nobody's on the node."""


def pod_security_context() -> PodSecurityContextArgsDict:
    """Non-root, and volumes that belong to the pod's group."""
    return {
        "run_as_non_root": True,
        "run_as_user": UID,
        "run_as_group": UID,
        "fs_group": UID,
        # A volume of millions of files would otherwise be walked on every start.
        "fs_group_change_policy": "OnRootMismatch",
        "seccomp_profile": {"type": "RuntimeDefault"},
    }


def container_security_context() -> SecurityContextArgsDict:
    """No capability, no way to gain one, nothing written outside volumes."""
    return {
        "allow_privilege_escalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "read_only_root_filesystem": True,
        "run_as_non_root": True,
    }


def scratch_volume(name: str, size: str = "16Mi") -> VolumeArgsDict:
    """An emptyDir for what a program must write somewhere, bounded by `size`."""
    return {"name": name, "empty_dir": {"size_limit": size}}


def memory_volume(name: str, size: str = "1Mi") -> VolumeArgsDict:
    """An emptyDir that is never written to a disk, for what holds a secret."""
    return {"name": name, "empty_dir": {"medium": "Memory", "size_limit": size}}


def scratch_mount(name: str, path: str) -> VolumeMountArgsDict:
    """Where the emptyDir `name` is seen by the container."""
    return {"name": name, "mount_path": path}
