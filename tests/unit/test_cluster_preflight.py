"""What is said of a machine that cannot run the embedded cluster."""

import dataclasses
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster import cgroups, instance, node, packages, preflight
from cluster.errors import ClusterError
from cluster.preflight import GIB, Machine

FITTING = Machine(
    system="Linux",
    is_root=True,
    python=(3, 11),
    available_memory=preflight.MEMORY_NEEDED,
    free_disk={Path("/somewhere"): preflight.DISK_NEEDED},
    taken_ports=frozenset(),
)


@pytest.fixture(autouse=True)
def cgroup_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands in for the machine's only cgroup tree."""
    tree = tmp_path / "cgroup"
    tree.mkdir()
    monkeypatch.setattr(cgroups, "trees", lambda: (tree,))
    return tree


def test_nothing_is_said_of_a_machine_that_just_fits() -> None:
    assert preflight.problems(FITTING) == []


@pytest.mark.parametrize(
    ("lack", "sentence"),
    [
        ({"is_root": False}, "the embedded cluster needs root: run this as root"),
        ({"refusals": ("unshare failed",)}, "own or a privileged container (unshare failed): run this there"),
        ({"python": (3, 10)}, "Python 3.11 or newer is needed, and this is 3.10"),
        ({"taken_ports": frozenset({6443})}, "port 6443 of 127.0.0.1 is taken by another program: stop that program"),
        ({"taken_ports": frozenset({30001})}, "port 30001 of 127.0.0.1 is taken by another program: stop that"),
        ({"available_memory": 3 * GIB}, "needs 4.0 GiB of free memory, and there are 3.0 GiB: stop something"),
        ({"free_disk": {Path("/small"): 9 * GIB}}, "needs 10.0 GiB of disk in /small, and there are 9.0 GiB: free"),
    ],
)
def test_each_lack_is_one_sentence_that_says_what_to_do(lack: dict[str, Any], sentence: str) -> None:
    found = preflight.problems(dataclasses.replace(FITTING, **lack))
    assert len(found) == 1
    assert sentence in found[0]
    assert "\n" not in found[0]


def test_every_lack_is_named_at_once() -> None:
    machine = dataclasses.replace(FITTING, is_root=False, available_memory=0, taken_ports=frozenset({6443, 30001}))
    assert len(preflight.problems(machine)) == 4


def test_a_system_other_than_linux_is_told_of_other_clusters_and_of_nothing_else() -> None:
    machine = dataclasses.replace(FITTING, system="Darwin", is_root=False, available_memory=0)
    assert preflight.problems(machine) == [
        "the embedded cluster needs Linux, and this is Darwin: "
        "name the kube context of another cluster in the stack file"
    ]


@pytest.fixture
def someone_elses_port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A port of the loopback that a program listens on, published by the instance `dev` in this test."""
    monkeypatch.setattr(cgroups, "pids", lambda _: set())
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_that_someone_else_listens_on_is_taken(someone_elses_port: int) -> None:
    publishing = dataclasses.replace(instance.get("dev"), published_ports=(someone_elses_port,))
    assert preflight.look(publishing).taken_ports == {someone_elses_port}
    with pytest.raises(ClusterError, match=f"port {someone_elses_port} of 127.0.0.1 is taken"):
        preflight.require(publishing)


def test_a_port_that_the_instance_publishes_itself_is_not_taken(
    someone_elses_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    publishing = dataclasses.replace(instance.get("dev"), published_ports=(someone_elses_port,))
    own = publishing.daemon_cgroup(f"port-{someone_elses_port}")
    monkeypatch.setattr(cgroups, "pids", lambda cgroup: {1} if cgroup == own else set())
    assert preflight.look(publishing).taken_ports == frozenset()


def test_what_a_running_instance_holds_does_not_keep_it_from_being_repaired(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_available_memory", lambda: GIB)
    monkeypatch.setattr(preflight, "_free_disk", lambda _: GIB)

    def lacks(pids: set[int]) -> list[str]:
        monkeypatch.setattr(cgroups, "pids", lambda _: pids)
        found = preflight.problems(preflight.look(instance.get("test")))
        return [word for word in ("of free memory", "of disk") if any(word in problem for problem in found)]

    assert lacks(pids=set()) == ["of free memory", "of disk"]
    assert lacks(pids={1}) == []


def test_a_root_that_the_kernel_refuses_namespaces_and_cgroups_is_found_out_by_trying(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    unshare = tmp_path / "unshare"
    unshare.write_text("#!/bin/sh\necho 'unshare failed: Operation not permitted' >&2\nexit 1\n")
    unshare.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(cgroups, "trees", lambda: (Path("/proc"),))  # no folder can be made there, whoever tries
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    namespaces, cgroup = preflight.unsuitable(preflight.look(instance.get("test")))
    assert "(unshare failed: Operation not permitted)" in namespaces
    assert "(No such file or directory: /proc/hotstack-probe-" in cgroup


def test_a_lack_that_may_pass_does_not_make_the_machine_unsuitable() -> None:
    assert preflight.unsuitable(dataclasses.replace(FITTING, available_memory=0, taken_ports=frozenset({6443}))) == []


@pytest.mark.parametrize(("on_path", "with_pulumi"), [(True, False), (False, True)])
def test_room_for_every_tool_that_is_to_be_built_is_checked_before_any_package_is_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, on_path: bool, with_pulumi: bool
) -> None:
    if on_path:
        (tmp_path / "pulumi").touch(mode=0o755)
    monkeypatch.setattr(preflight, "look", lambda _: FITTING)
    monkeypatch.setattr(preflight, "lack_of_room_for", lambda names: f"no room for {' '.join(names)}")
    monkeypatch.setattr(packages, "install_missing", lambda: pytest.fail("packages were installed"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match=r"^no room for kubernetes kube-router coredns .*traefik") as error:
        node.up(instance.get("test"))
    assert ("pulumi-resource-kubernetes" in str(error.value)) is with_pulumi


def test_a_machine_without_go_is_told_so_before_any_package_is_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(preflight, "look", lambda _: FITTING)
    monkeypatch.setattr(packages, "install_missing", lambda: pytest.fail("packages were installed"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(ClusterError, match=r"^Go 1\.26 or newer is needed .*: install it, or `pip install"):
        node.up(instance.get("test"))
