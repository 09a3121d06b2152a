"""What a Pulumi that was killed leaves behind, and how it goes.

Its lock stays, and its plugins: Pulumi starts them in process groups of their own, and without it they wait for ever.
What it had begun and not seen the end of is told by its state, and is Pulumi's own to clean up.
"""

import json
import time
from pathlib import Path

from cluster import cgroups, process
from cluster.errors import ClusterError
from cluster.instance import Instance

_DYING_SECONDS = 5.0


def cgroup(instance: Instance, stack: str) -> str:
    """The cgroup for the Pulumi that works on a stack, and for all that it starts."""
    return instance.daemon_cgroup(f"pulumi-{stack}")


def clear(instance: Instance, stack: str, backend: Path) -> None:
    """Take away the lock and the plugins of a Pulumi that was killed; without a lock there is nothing to do.

    Args:
        instance: the embedded cluster.
        stack: its name.
        backend: the folder of the file backend.

    Raises:
        ClusterError: the Pulumi that made the lock still works; nothing was changed.
    """
    # All of them: a lock that was only half written has another name, and Pulumi minds it too.
    locks = [path for path in backend.glob(f".pulumi/locks/**/{stack}/*") if path.is_file()]
    if not locks:
        return
    for lock in locks:
        if pid := _holder_after_a_while(lock):
            raise ClusterError(f"another Pulumi (process {pid}) is updating {stack}: wait for it, or end it")
    print("a Pulumi that was killed left its lock: taking it away", flush=True)
    cgroups.kill(cgroup(instance, stack))
    for lock in locks:
        # As `pulumi cancel` does, but that wants the stack to be there, and `stack init` can be killed too.
        lock.unlink()


def _holder_after_a_while(lock: Path) -> int | None:
    """`holder`, but a process that was killed has time to end: freeing its memory takes it a moment."""
    deadline = time.monotonic() + _DYING_SECONDS
    while (pid := holder(lock)) is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    return pid


def holder(lock: Path) -> int | None:
    """The Pulumi process that holds a lock of the file backend, or `None` when it is gone."""
    if lock.suffix != ".json":
        return None
    pid: int = json.loads(lock.read_text())["pid"]
    # One that has ended has no command line, however long its parent leaves it unburied; and after a reboot the number
    # may be another program's.
    program = process.command_line(pid)[:1]
    return pid if program and Path(program[0]).name == "pulumi" else None
