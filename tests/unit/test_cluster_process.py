"""How a daemon is recognised and stopped, on harmless processes in folders that stand in for cgroups."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from checks.outcome import eventually
from cluster import cgroups, process
from cluster import instance as instances
from cluster.errors import ClusterError
from cluster.process import Daemon

DRILL = instances.get("drill")
ETCD = Daemon("etcd", ("sleep", "61"))


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """Start a process and put it into the cgroup of the daemon `etcd`, or of another one."""
    monkeypatch.setattr(cgroups, "trees", lambda: (tmp_path,))
    started: list[subprocess.Popen[bytes]] = []

    def run(*argv: str, daemon: str = "etcd") -> int:
        started.append(subprocess.Popen(argv))
        # Popen returns a moment before the kernel shows the new program's command line.
        eventually(lambda: None if process.command_line(started[-1].pid) == argv else "not running", 5, pause=0.01)
        folder = tmp_path / DRILL.daemon_cgroup(daemon)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "cgroup.procs").open("a") as procs:
            procs.write(f"{started[-1].pid}\n")
        return started[-1].pid

    yield run
    for child in started:
        child.kill()
        child.wait()


def _is_alive(pid: int) -> bool:
    return bool(process.command_line(pid))  # a process that has ended has none


def test_a_daemon_runs_when_its_cgroup_has_its_command_line(start: Callable[..., int]) -> None:
    assert process.pid_of(DRILL, ETCD) is None
    pid = start("sleep", "61")
    assert process.pid_of(DRILL, ETCD) == pid


def test_the_same_command_line_elsewhere_is_not_the_daemon(start: Callable[..., int]) -> None:
    start("sleep", "61", daemon="kubelet")
    assert process.pid_of(DRILL, ETCD) is None


def test_a_daemon_with_other_arguments_is_stopped_and_what_it_started_lives_on(start: Callable[..., int]) -> None:
    outdated = start("/usr/bin/sleep", "62")
    shim = start("tail", "--follow", "/dev/null")
    assert process.pid_of(DRILL, ETCD) is None
    process.stop(DRILL, ETCD)
    assert not _is_alive(outdated)
    assert _is_alive(shim)


def test_a_daemon_that_runs_is_not_started_again(start: Callable[..., int]) -> None:
    start("sleep", "61")
    assert process.ensure_running(DRILL, ETCD) is False


@pytest.mark.usefixtures("start")
def test_nothing_can_be_run_inside_an_instance_that_is_not_there() -> None:
    with pytest.raises(ClusterError, match="the instance 'drill' is not running"):
        process.inside(DRILL, ("true",))
