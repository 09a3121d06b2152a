"""What a machine must have before anything is changed on it."""

import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cluster import addons, cgroups, paths
from cluster.errors import ClusterError
from cluster.instance import Instance
from cluster.toolchain.builder import lack_of_room_for

GIB = 1 << 30
MEMORY_NEEDED = 4 * GIB
DISK_NEEDED = 10 * GIB
PYTHON_NEEDED = (3, 11)
_NODE_TOOLS = ("kubernetes", "kube-router", *addons.TOOLS)
_PULUMI_TOOLS = ("pulumi", "pulumi-resource-kubernetes", "pulumi-resource-random")


@dataclass(frozen=True)
class Machine:
    """What was found on the machine; sizes in bytes."""

    system: str
    is_root: bool
    python: tuple[int, int]
    available_memory: int
    free_disk: Mapping[Path, int]
    taken_ports: frozenset[int]  # of the loopback ports that the instance is to publish
    refusals: tuple[str, ...] = ()  # what the kernel lets even root not do here, in a few words each


def require(instance: Instance) -> None:
    """Check the machine before an instance is started on it.

    Raises:
        ClusterError: one sentence a problem, each with what to do.
    """
    machine = look(instance)
    found = problems(machine)
    if machine.system == "Linux":
        try:
            found += filter(None, [lack_of_room_for(_tools_of_up())])
        except ClusterError as error:
            found.append(str(error))
    if found:
        raise ClusterError("\n".join(found))


def _tools_of_up() -> tuple[str, ...]:
    """Return the names of the tools that `make up` needs, for the room that building them takes."""
    return _NODE_TOOLS if shutil.which("pulumi") else _NODE_TOOLS + _PULUMI_TOOLS


def unsuitable(machine: Machine) -> list[str]:
    """Return one sentence for each thing that keeps the embedded cluster from ever running on this machine."""
    if machine.system != "Linux":
        return [
            f"the embedded cluster needs Linux, and this is {machine.system}: "
            "name the kube context of another cluster in the stack file"
        ]
    if not machine.is_root:
        return [
            "the embedded cluster needs root: run this as root, "
            "or name the kube context of another cluster in the stack file"
        ]
    return [
        f"the embedded cluster needs a machine of its own or a privileged container ({refusal}): "
        "run this there, or name the kube context of another cluster in the stack file"
        for refusal in machine.refusals
    ]


def problems(machine: Machine) -> list[str]:
    """Return one sentence for each thing that keeps the embedded cluster from running on this machine now."""
    found = unsuitable(machine)
    if machine.system != "Linux":
        return found
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
    is_root = os.geteuid() == 0
    running = bool(cgroups.pids(instance.full_name))
    return Machine(
        system="Linux",
        is_root=is_root,
        python=python,
        available_memory=MEMORY_NEEDED if running else _available_memory(),
        free_disk={} if running else {folder: _free_disk(folder) for folder in (paths.cache(), paths.state())},
        taken_ports=frozenset(filter(_is_taken, _ports_to_publish(instance))),
        refusals=_refusals() if is_root else (),
    )


def _refusals() -> tuple[str, ...]:
    """Try what a node does first; a plain container's root may do neither."""
    tried = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True, text=True)
    namespaces = tried.stderr.strip() if tried.returncode != 0 else None
    return tuple(filter(None, (namespaces, cgroups.problem())))


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
