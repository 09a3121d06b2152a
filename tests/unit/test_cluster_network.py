"""Whether a mount is the node's own, with a stand-in for the commands that look and mount."""

from pathlib import Path

import pytest

from cluster import instance as instances
from cluster import network, paths, process

HOST_MOUNT = "/var/lib/kubelet"


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What is seen at each path inside of a new node, by path: on the host, one of them has a disk of its own."""
    seen = {HOST_MOUNT: "a disk of the host"}

    def run(*argv: str) -> str:
        match argv:
            case ("inside", "stat", _, path):
                return seen.get(path, "a folder of the host")
            case ("inside", "mount", "--bind", place, path):
                seen[path] = place
            case ("stat", _, place):
                return place
        return ""

    monkeypatch.setenv("HOTSTACK_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(paths, "runtime", lambda: tmp_path / "run")
    monkeypatch.setattr(network, "_run", run)
    monkeypatch.setattr(process, "inside", lambda _instance, argv: ("inside", *argv))
    return seen


def test_where_the_host_has_a_mount_the_node_gets_its_own_over_it(mounted: dict[str, str]) -> None:
    drill = instances.get("drill")
    network._ensure_mounts(drill)
    assert mounted[HOST_MOUNT] == str(drill.folder / "kubelet")
    assert all(place.startswith((str(drill.folder), str(drill.runtime))) for place in mounted.values())


def test_what_is_mounted_already_is_not_mounted_again(mounted: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    network._ensure_mounts(instances.get("drill"))
    before, run = dict(mounted), network._run
    monkeypatch.setattr(network, "_run", lambda *argv: pytest.fail("mounted") if "--bind" in argv else run(*argv))
    network._ensure_mounts(instances.get("drill"))
    assert mounted == before
