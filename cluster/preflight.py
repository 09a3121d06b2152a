"""What a machine must have before anything is changed on it."""

import os
import platform
import shutil
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cluster import cgroups, paths
from cluster.errors import ClusterError
from cluster.instance import Instance
from cluster.toolchain.go import find_go

GIB = 1 << 30
MEMORY_NEEDED = 4 * GIB
DISK_NEEDED = 10 * GIB
PYTHON_NEEDED = (3, 11)


@dataclass(frozen=True)
class Machine:
    """What was found on the machine; sizes in bytes."""

    system: str
    is_root: bool
    python: tuple[int, int]
    available_memory: int
    free_disk: Mapping[Path, int]
    taken_ports: frozenset[int]  # of the loopback ports that the instance is to publish


def require(instance: Instance) -> None:
    """Check the machine before an instance is started on it.

    Raises:
        ClusterError: one sentence a problem, each with what to do.
    """
    found = problems(look(instance))
    try:
        find_go()
    except ClusterError as error:
        found.append(str(error))
    if found:
        raise ClusterError("\n".join(found))


def problems(machine: Machine) -> list[str]:
    """Return one sentence for each thing that keeps the embedded cluster from running on this machine."""
    if machine.system != "Linux":
        return [
            f"the embedded cluster needs Linux, and this is {machine.system}: "
            "name the kube context of another cluster in the stack file"
        ]
    found = []
    if not machine.is_root:
        found.append(
            "the embedded cluster needs root: run this as root, "
            "or name the kube context of another cluster in the stack file"
        )
    if machine.python < PYTHON_NEEDED:
        found.append(f"Python {_dotted(PYTHON_NEEDED)} or newer is needed, and this is {_dotted(machine.python)}")
    found += [
        f"port {port} of 127.0.0.1 is taken by another program: stop that program (`ss -ltnp` names it)"
        for port in sorted(machine.taken_ports)
    ]
    if machine.available_memory < MEMORY_NEEDED:
        found.append(
            f"the embedded cluster needs {_gib(MEMORY_NEEDED)} of free memory, "
            f"and there are {_gib(machine.available_memory)}: stop something that is large"
        )
    for folder, free in machine.free_disk.items():
        if free < DISK_NEEDED:
            found.append(
                f"the embedded cluster needs {_gib(DISK_NEEDED)} of disk in {folder}, and there are {_gib(free)}: "
                "free some, or set HOTSTACK_CACHE and HOTSTACK_STATE to a larger disk"
            )
    return found


def look(instance: Instance) -> Machine:
    """Look at this machine; what the instance itself holds already does not count against it."""
    python = sys.version_info[:2]
    if platform.system() != "Linux":
        return Machine(platform.system(), False, python, available_memory=0, free_disk={}, taken_ports=frozenset())
    running = bool(cgroups.pids(instance.full_name))
    return Machine(
        system="Linux",
        is_root=os.geteuid() == 0,
        python=python,
        available_memory=MEMORY_NEEDED if running else _available_memory(),
        free_disk={} if running else {folder: _free_disk(folder) for folder in (paths.cache(), paths.state())},
        taken_ports=frozenset(filter(_is_taken, _ports_to_publish(instance))),
    )


def _ports_to_publish(instance: Instance) -> list[int]:
    """Return the ports that the instance does not publish already."""
    return [port for port in instance.published_ports if not cgroups.pids(instance.daemon_cgroup(f"port-{port}"))]


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that have ended do not count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _available_memory() -> int:
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024


def _free_disk(folder: Path) -> int:
    nearest = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return shutil.disk_usage(nearest).free


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
