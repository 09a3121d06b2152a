"""The instance's cgroup, on folders that stand in for the kernel's."""

from pathlib import Path

import pytest

from cluster import cgroups


@pytest.fixture
def trees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A v1 cpuset tree and a v2 tree; the kernel would fill in the files that the tests write."""
    v1, v2 = tmp_path / "cpuset", tmp_path / "unified"
    v1.mkdir()
    (v1 / "cpuset.cpus").write_text("0-1")
    (v1 / "cpuset.mems").write_text("0")
    v2.mkdir()
    (v2 / "cgroup.controllers").write_text("cpu memory pids")
    (v2 / "cgroup.subtree_control").write_text("cpu")
    monkeypatch.setattr(cgroups, "trees", lambda: (v1, v2))
    return v1, v2


def test_a_cgroup_is_made_in_every_tree(trees: tuple[Path, Path]) -> None:
    cgroups.create("hotstack-x/daemons/etcd")
    assert all((tree / "hotstack-x/daemons/etcd").is_dir() for tree in trees)


def test_making_it_again_changes_nothing(trees: tuple[Path, Path]) -> None:
    cgroups.create("hotstack-x")
    cgroups.create("hotstack-x")
    assert all((tree / "hotstack-x").is_dir() for tree in trees)


def test_v2_hands_down_the_controllers_that_it_did_not_yet(trees: tuple[Path, Path]) -> None:
    cgroups.create("hotstack-x")
    assert (trees[1] / "cgroup.subtree_control").read_text() == "+memory +pids"


def test_a_v1_cpuset_gets_what_its_parent_has_because_an_empty_one_takes_no_process(trees: tuple[Path, Path]) -> None:
    (trees[0] / "hotstack-x").mkdir()
    (trees[0] / "hotstack-x" / "cpuset.cpus").write_text("\n")
    (trees[0] / "hotstack-x" / "cpuset.mems").write_text("\n")
    cgroups.create("hotstack-x")
    assert (trees[0] / "hotstack-x" / "cpuset.cpus").read_text() == "0-1"
    assert (trees[0] / "hotstack-x" / "cpuset.mems").read_text() == "0"


def test_processes_are_found_in_any_tree_and_at_any_depth(trees: tuple[Path, Path]) -> None:
    for tree, folder, content in (
        (trees[0], "hotstack-x/kubepods/pod1", "11\n12\n"),
        (trees[1], "hotstack-x/daemons", "12\n13\n0\n"),
        (trees[1], "hotstack-y", "99\n"),
    ):
        (tree / folder).mkdir(parents=True)
        (tree / folder / "cgroup.procs").write_text(content)
    assert cgroups.pids("hotstack-x") == {11, 12, 13}


def test_removing_one_leaves_its_neighbours(trees: tuple[Path, Path]) -> None:
    for name in ("hotstack-x/daemons/etcd", "hotstack-y/daemons"):
        for tree in trees:
            (tree / name).mkdir(parents=True)
    cgroups.remove("hotstack-x")
    assert not any((tree / "hotstack-x").exists() for tree in trees)
    assert all((tree / "hotstack-y/daemons").is_dir() for tree in trees)


@pytest.mark.usefixtures("trees")
def test_removing_what_is_not_there_is_fine() -> None:
    cgroups.remove("hotstack-x")
    assert cgroups.pids("hotstack-x") == set()


def test_a_tree_in_which_a_cgroup_can_be_made_is_no_problem_and_left_empty(trees: tuple[Path, Path]) -> None:
    assert cgroups.problem() is None
    assert not [folder for tree in trees for folder in tree.iterdir() if folder.is_dir()]


def test_a_machine_without_cgroups_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "trees", lambda: ())
    assert cgroups.problem() == "no cgroup tree is mounted"


def test_a_v2_tree_that_was_not_given_the_controllers_of_pods_is_named(
    trees: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroups, "trees", lambda: (trees[1],))
    assert cgroups.problem() == f"{trees[1]}/cgroup.controllers lacks cpuset"
