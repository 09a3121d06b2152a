"""Start, recognise and stop the daemons of a node.

A daemon is recognised by what the kernel says: it is the process in the daemon's own cgroup that has exactly the
daemon's command line. There are no pid files that could be stale, a reused pid is never mistaken for a daemon, and a
daemon whose command line has changed with the checkout counts as not running and is replaced.
"""

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from cluster import cgroups
from cluster.errors import ClusterError
from cluster.instance import Instance

_PATIENCE_SECONDS = 10.0
_LOG_TAIL_LINES = 15


@dataclass(frozen=True)
class Daemon:
    """A long-running process of an instance."""

    name: str
    argv: tuple[str, ...]
    on_host: bool = False  # runs in the host's network, not in the node's


NAMESPACES = Daemon("namespaces", ("sleep", "infinity"), on_host=True)
"""Does nothing but hold the node's network and mount namespaces: when it ends with the rest, they are gone."""


def command_line(pid: int) -> tuple[str, ...]:
    """Return the arguments of a process; none when it is gone."""
    try:
        return tuple(Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1])
    except OSError:
        return ()


def pid_of(instance: Instance, daemon: Daemon) -> int | None:
    """Return the pid of a running daemon, or None."""
    return min(
        (pid for pid in cgroups.pids(instance.daemon_cgroup(daemon.name)) if command_line(pid) == daemon.argv),
        default=None,
    )


def inside(instance: Instance, argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return the command that runs `argv` in the node's namespaces.

    It is nsenter and not `ip netns exec`, which hides the cgroup mounts from the kubelet.

    Raises:
        ClusterError: the instance is not running.
    """
    holder = pid_of(instance, NAMESPACES)
    if holder is None:
        raise ClusterError(f"the instance {instance.name!r} is not running: `python -m cluster up` starts it")
    return ("nsenter", f"--target={holder}", "--net", "--mount", "--", *argv)


def ensure_running(instance: Instance, daemon: Daemon) -> bool:
    """Start a daemon unless it runs; return whether it had to be started.

    Raises:
        ClusterError: the process did not come up; ends with the last lines of its log.
    """
    if pid_of(instance, daemon) is not None:
        return False
    stop(instance, daemon)
    command = daemon.argv if daemon.on_host else inside(instance, daemon.argv)
    _spawn(instance, daemon, command)
    return True


def start_namespaces(instance: Instance) -> bool:
    """Start the process that holds the namespaces, unless it runs; return whether it had to be started.

    Mounts made by the node stay invisible to the host (`slave`), so none of them can be left behind.
    """
    if pid_of(instance, NAMESPACES) is not None:
        return False
    unshare = ("unshare", "--net", "--mount", "--propagation=slave", "--", *NAMESPACES.argv)
    _spawn(instance, NAMESPACES, unshare)
    return True


def stop(instance: Instance, daemon: Daemon) -> None:
    """End a daemon, whatever its version and arguments; what it has started (pods, under containerd) lives on.

    Raises:
        ClusterError: it is still there after ten seconds.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while found := [pid for pid in cgroups.pids(instance.daemon_cgroup(daemon.name)) if _runs_program_of(pid, daemon)]:
        if time.monotonic() > deadline:
            raise ClusterError(f"{daemon.name} of {instance.full_name} does not end")
        for pid in found:
            cgroups.end(pid)
        time.sleep(0.01)


def _runs_program_of(pid: int, daemon: Daemon) -> bool:
    program = command_line(pid)[:1]
    return bool(program) and Path(program[0]).name == Path(daemon.argv[0]).name


def _spawn(instance: Instance, daemon: Daemon, command: tuple[str, ...]) -> None:
    cgroup = instance.daemon_cgroup(daemon.name)
    cgroups.create(cgroup)
    instance.logs.mkdir(parents=True, exist_ok=True)
    with _log_file(instance, daemon.name).open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env={"PATH": os.environ["PATH"]},
            start_new_session=True,
            preexec_fn=lambda: cgroups.join(cgroup),
        )
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if pid_of(instance, daemon) is not None:
            return
        if process.poll() is not None:
            break
        time.sleep(0.01)
    raise ClusterError(f"{daemon.name} did not start; its log ends with:\n{log_tail(instance, daemon.name)}")


def log_tail(instance: Instance, daemon: str) -> str:
    """Return the last lines of a daemon's log."""
    log = _log_file(instance, daemon)
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join(lines[-_LOG_TAIL_LINES:])


def _log_file(instance: Instance, daemon: str) -> Path:
    return instance.logs / f"{daemon}.log"
