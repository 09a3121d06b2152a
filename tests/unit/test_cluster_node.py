"""Whose folder it is that an instance's end removes."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster import cgroups, network, node, packages, paths, preflight
from cluster import instance as instances
from cluster.errors import ClusterError
from cluster.instance import Instance


@pytest.fixture
def drill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Instance:
    """An instance whose every place is this test's own, on a machine that has nothing of it."""
    monkeypatch.setenv("HOTSTACK_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(paths, "runtime", lambda: tmp_path / "run")
    monkeypatch.setattr(cgroups, "trees", lambda: ())
    monkeypatch.setattr(network, "remove_wire", lambda _: None)
    monkeypatch.setattr(preflight, "require", lambda _: None)
    monkeypatch.setattr(packages, "install_missing", lambda: pytest.fail("packages were installed"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return instances.get("drill")


def _fill(folder: Path, *files: str) -> None:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()


@pytest.mark.parametrize("command", [node.up, node.down])
@pytest.mark.parametrize("file", ["thesis.tex", "pulumi/main.go"])
def test_a_folder_of_somebody_else_is_refused_by_name_and_left_as_it_is(
    drill: Instance, command: Callable[[Instance], object], file: str
) -> None:
    _fill(drill.folder, file)
    with pytest.raises(ClusterError, match=f"^{drill.folder} is not of the embedded cluster.* set HOTSTACK_STATE"):
        command(drill)
    assert [path for path in drill.folder.rglob("*") if path.is_file()] == [drill.folder / file]


@pytest.mark.parametrize("sign", ["hotstack-instance", "became-ready", "pulumi/.pulumi/meta.yaml"])
def test_a_folder_that_was_made_for_the_instance_is_removed_with_all_that_is_in_it(drill: Instance, sign: str) -> None:
    _fill(drill.folder, sign)
    if "pulumi" not in sign:
        _fill(drill.folder, "etcd/member", "kubeconfig")
    node.down(drill)
    assert not drill.folder.exists()


def test_a_removal_that_is_cut_short_can_go_on(drill: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    _fill(drill.folder, "became-ready", "kubeconfig", "volumes/data")

    def cut_short(folder: Path) -> None:
        raise KeyboardInterrupt(folder)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "rmtree", cut_short)
        node.down(drill)
    assert drill.folder.exists()
    assert not drill.ready_marker.exists()
    node.down(drill)
    assert not drill.folder.exists()
