"""What the node needs from the distribution."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cluster.errors import ClusterError

CNI_PLUGINS = Path("/usr/lib/cni")


@dataclass(frozen=True)
class Package:
    """A Debian package, and a program of it that tells whether it is there."""

    name: str
    program: str


PACKAGES = (
    Package("containerd", "containerd"),
    Package("runc", "runc"),
    Package("containernetworking-plugins", str(CNI_PLUGINS / "ptp")),
    Package("etcd-server", "etcd"),
    Package("catatonit", "catatonit"),  # a static init: the pause container of every pod
    Package("mmdebstrap", "mmdebstrap"),
    Package("buildah", "buildah"),
    Package("iproute2", "ip"),
    Package("iptables", "iptables"),
    Package("ipset", "ipset"),
    Package("conntrack", "conntrack"),
    Package("socat", "socat"),
)


def missing() -> list[str]:
    """Return the names of the packages that have yet to be installed."""
    return [package.name for package in PACKAGES if shutil.which(package.program) is None]


def install_missing() -> None:
    """Install with apt what is not there yet.

    Raises:
        ClusterError: apt is not there or failed; the sentence names the packages.
    """
    names = missing()
    if not names:
        return
    if shutil.which("apt-get") is None:
        raise ClusterError(f"these packages are missing, and there is no apt-get to install them: {' '.join(names)}")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", *names]):
        done = subprocess.run(["apt-get", *arguments], env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise ClusterError(f"apt-get could not install {' '.join(names)}:\n{done.stderr.strip()}")
