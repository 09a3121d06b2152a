"""The instance's own cgroup: everything that runs for an instance is under it, so its end is exact.

Works on cgroup v1 (one tree a controller), on v2 (one tree) and on the mix of both. On every tree the layout is

    hotstack-<instance>/daemons/<daemon>    one leaf for each process of ours, with what it starts itself
    hotstack-<instance>/kubepods/...        made by the kubelet for the pods
"""

import os
import signal
import time
from functools import cache
from pathlib import Path

from cluster.errors import ClusterError

_KILL_ROUNDS = 100
_ROUND_SECONDS = 0.05
_NEEDED_ON_V2 = {"cpu", "cpuset", "memory", "pids"}  # by the kubelet; v1 and the mix with it have a tree for each


@cache
def trees() -> tuple[Path, ...]:
    """Return the mount point of every cgroup tree of this machine."""
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    # Fields: id, parent, device, root, mount point, options, tags, "-", type, source, options
    return tuple(dict.fromkeys(Path(m[4]) for m in mounts if m[m.index("-") + 1] in ("cgroup", "cgroup2")))


def create(cgroup: str) -> None:
    """Make `cgroup` (a path such as `hotstack-dev/daemons/etcd`) in every tree, able to hold processes.

    Its parents are made too, and hand their controllers down: v2 wants that said, and the v1 cpuset wants it copied.
    """
    for tree in trees():
        folder = tree
        for part in Path(cgroup).parts:
            _hand_down_controllers(folder)
            folder /= part
            folder.mkdir(exist_ok=True)
            _copy_cpuset(folder)


def problem() -> str | None:
    """Return in a few words what keeps cgroups from being made here, or None; one that stays empty is tried."""
    if not trees():
        return "no cgroup tree is mounted"
    controllers = trees()[0] / "cgroup.controllers"
    if len(trees()) == 1 and controllers.exists():
        absent = _NEEDED_ON_V2 - set(controllers.read_text().split())
        if absent:
            return f"{controllers} lacks {', '.join(sorted(absent))}"
    probe = f"hotstack-probe-{os.getpid()}"
    try:
        create(probe)
    except ClusterError as error:
        return str(error)
    except OSError as error:
        return f"{error.strerror}: {error.filename}"
    finally:
        remove(probe)
    return None


def _hand_down_controllers(folder: Path) -> None:
    available, enabled = folder / "cgroup.controllers", folder / "cgroup.subtree_control"
    if available.exists():
        absent = set(available.read_text().split()) - set(enabled.read_text().split())
        if absent:
            wanted = " ".join(f"+{controller}" for controller in sorted(absent))
            try:
                enabled.write_text(wanted)
            except OSError as error:
                raise ClusterError(f"`{wanted}` is refused by {enabled}, which pods need: {error.strerror}") from error


def _copy_cpuset(folder: Path) -> None:
    for name in ("cpuset.cpus", "cpuset.mems"):
        values = folder / name
        is_v1 = values.exists() and not (folder / "cgroup.controllers").exists()
        if is_v1 and not values.read_text().strip():
            values.write_text((folder.parent / name).read_text())


def join(cgroup: str) -> None:
    """Move the calling process into `cgroup`, in every tree."""
    for tree in trees():
        (tree / cgroup / "cgroup.procs").write_text("0")


def pids(cgroup: str) -> set[int]:
    """Return the processes in `cgroup` and below it, in whichever tree."""
    found: set[int] = set()
    for tree in trees():
        for folder, _, _ in os.walk(tree / cgroup):
            try:
                found.update(map(int, Path(folder, "cgroup.procs").read_text().split()))
            except OSError:
                continue  # a pod's cgroup that went away while we looked
    return found - {0}  # 0 stands for a process of another pid namespace


def kill(cgroup: str) -> None:
    """End every process in `cgroup` and below it.

    Raises:
        ClusterError: some are still there after five seconds.
    """
    for _ in range(_KILL_ROUNDS):
        remaining = pids(cgroup)
        if not remaining:
            return
        for pid in remaining:
            end(pid)
        time.sleep(_ROUND_SECONDS)
    raise ClusterError(f"processes of cgroup {cgroup} do not end: {sorted(pids(cgroup))}")


def end(pid: int) -> None:
    """Send SIGKILL to a process that may be gone already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def remove(cgroup: str) -> None:
    """Remove the empty `cgroup` and everything below it, from every tree."""
    for tree in trees():
        for folder, _, _ in os.walk(tree / cgroup, topdown=False):
            _remove_folder(Path(folder))


def _remove_folder(folder: Path) -> None:
    for _ in range(_KILL_ROUNDS):
        try:
            folder.rmdir()
            return
        except OSError:  # busy for a moment after its last process has ended
            time.sleep(_ROUND_SECONDS)
    raise ClusterError(f"the cgroup {folder} cannot be removed")
