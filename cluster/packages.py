"""What the node needs from the distribution."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.errors import ClusterError
from cluster.stages import stage

CNI_PLUGINS = Path("/usr/lib/cni")
UNITS = Path("/etc/systemd/system")


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


FOR_TESTS = (
    Package("redis-server", "redis-server"),
    # The tests start servers of their own; the programs of one are not on PATH, but this, which comes with them, is.
    Package("postgresql", "pg_ctlcluster"),
    Package("chromium", "chromium"),  # opens Prometheus's pages
)


def missing(packages: Sequence[Package] = PACKAGES) -> list[str]:
    """Return the names of the packages that have yet to be installed."""
    return [package.name for package in packages if shutil.which(package.program) is None]


def install_missing(packages: Sequence[Package] = PACKAGES) -> None:
    """Install with apt what is not there yet.

    Raises:
        ClusterError: apt is not there, or it or systemctl failed; the sentence names the packages or services.
    """
    names = missing(packages)
    if not names:
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise ClusterError(
            f"these programs are missing: install them as root, on Debian by the packages {' '.join(names)}"
        )
    # The programs are wanted, not the services that some of the packages would start for the whole machine: not now,
    # and not with the next boot either.
    before = _enabled_services()
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "SYSTEMD_OFFLINE": "1"}
    apt_get = ["apt-get", "--quiet=2", "--option=DPkg::Lock::Timeout=300"]  # another apt-get may be at work
    with stage(f"installing {' '.join(names)}"):
        for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *names]):
            done = subprocess.run([*apt_get, *arguments], env=environment, capture_output=True, text=True)
            if done.returncode != 0:
                raise ClusterError(f"apt-get could not install {' '.join(names)}:\n{done.stderr.strip()}")
        _disable(_enabled_services() - before)


def _enabled_services() -> set[str]:
    """Return the services that start with the machine, once systemd runs on it."""
    return {link.name for link in UNITS.glob("*.wants/*.service")}


def _disable(services: set[str]) -> None:
    if not services or shutil.which("systemctl") is None:
        return
    # With a root, systemctl works on the files alone, and so without a systemd that runs.
    done = subprocess.run(["systemctl", "--root=/", "disable", *sorted(services)], capture_output=True, text=True)
    if done.returncode != 0:
        raise ClusterError(f"systemctl could not disable {' '.join(sorted(services))}:\n{done.stderr.strip()}")
