"""Start, repair, describe and remove an instance of the embedded cluster."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster import (
    addons,
    api,
    cgroups,
    containerd,
    daemons,
    health,
    images,
    locks,
    network,
    packages,
    pki,
    preflight,
    process,
)
from cluster.daemons import NodeDaemons
from cluster.errors import ClusterError
from cluster.files import write_whole
from cluster.images import Image
from cluster.instance import Instance
from cluster.process import Daemon
from cluster.stages import stage
from cluster.toolchain import ensure

_SERVER_SECONDS = 120.0
_HEALTH_SECONDS = 240.0


@dataclass(frozen=True)
class Status:
    """What there is of an instance."""

    pids: dict[str, int | None]  # by the name of each process that `up` started; None for one that is gone
    problems: list[str]  # one sentence each; none for a healthy instance


def up(instance: Instance) -> Path:
    """Bring an instance to health from whatever state it is in, and return its kubeconfig.

    One that is healthy is left alone. Dead processes are started again, with all data kept. What never became a
    cluster, because an earlier start was cut short, is replaced.

    Raises:
        ClusterError: the machine lacks something (nothing was changed then), or a step failed.
    """
    preflight.require(instance)
    _require_own_folder(instance)
    with locks.held(instance.lock):
        packages.install_missing()
        binaries = ensure("kubernetes", "kube-router", *addons.TOOLS)
        addon = addons.addon_images(binaries)
        if instance.folder.exists() and not instance.ready_marker.exists():
            with stage(f"{instance.full_name}: removing what an interrupted start has left"):
                _remove(instance)
        _claim_folder(instance)
        wanted = daemons.of_node(instance, binaries["kubernetes"], binaries["kube-router"], addon.pause.full_reference)
        manifests = addons.manifests(instance, addon)
        record = _record(wanted, manifests)
        if _is_running(instance, wanted, record) and not health.problems(instance):
            print(f"{instance.full_name}: healthy, nothing to do", flush=True)
        else:
            _start(instance, wanted, addon.all())
            _finish(instance, binaries["kubernetes"], manifests, record)
    return instance.kubeconfig


def down(instance: Instance) -> None:
    """Remove an instance: its processes, pods, network and all of its state, data on volumes included.

    Raises:
        ClusterError: this is not root, the folder is not the instance's, or a process does not end.
    """
    _require_root()
    _require_own_folder(instance)
    with locks.held(instance.lock), stage(f"{instance.full_name}: stopping and removing"):
        _remove(instance)


def answers(instance: Instance) -> bool:
    """Return whether the API server of an instance serves."""
    return instance.ready_marker.exists() and health.api_answers(instance)


def status(instance: Instance) -> Status:
    """Describe an instance without changing anything.

    Raises:
        ClusterError: this is not root.
    """
    _require_root()
    recorded = _record_file(instance)
    if not recorded.exists():
        word = "was never ready" if instance.folder.exists() else "does not exist"
        return Status(pids={}, problems=[f"{instance.full_name} {word}"])
    started: dict[str, list[str]] = json.loads(recorded.read_text())["daemons"]
    pids = {name: process.pid_of(instance, Daemon(name, tuple(argv))) for name, argv in started.items()}
    dead = [f"{name} is not running" for name, pid in pids.items() if pid is None]
    return Status(pids, dead + health.problems(instance))


def _require_root() -> None:
    if os.geteuid() != 0:
        raise ClusterError("the embedded cluster is root's: run this as root")


def _require_own_folder(instance: Instance) -> None:
    """Refuse a folder that something else has filled: HOTSTACK_STATE may name one where `dev` is no cluster at all."""
    if not instance.folder.exists() or instance.ownership_marker.exists():
        return
    # An instance of an earlier version has no marker, nor has one of which only Pulumi's state was asked for.
    content = {path.name for path in instance.folder.iterdir()}
    only_pulumi = content == {"pulumi"} and all(p.name == ".pulumi" for p in (instance.folder / "pulumi").iterdir())
    if content and not instance.ready_marker.exists() and not only_pulumi:
        raise ClusterError(
            f"{instance.folder} is not of the embedded cluster, which would remove all that is in it: "
            "set HOTSTACK_STATE to another folder"
        )


def _claim_folder(instance: Instance) -> None:
    instance.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    instance.ownership_marker.touch()


def _start(instance: Instance, wanted: NodeDaemons, addon_images: Iterable[Image]) -> None:
    with stage(f"{instance.full_name}: network and keys"):
        if process.pid_of(instance, process.NAMESPACES) is None:
            # What still runs, pods included, hangs in a network that nothing can enter any more.
            # The cgroups of its containers go too: the kubelet would look for each one's process for three seconds.
            _end_processes(instance)
            shutil.rmtree(instance.runtime, ignore_errors=True)
        network.ensure(instance)
        pki.ensure(instance)
    with stage(f"{instance.full_name}: API server and containerd"):
        for daemon in wanted.servers:
            process.ensure_running(instance, daemon)
        containerd.wait_until_serving(instance, _SERVER_SECONDS)
        health.wait_for_api(instance, _SERVER_SECONDS)
    images.load(instance, addon_images)
    for daemon in wanted.clients:
        process.ensure_running(instance, daemon)


def _finish(instance: Instance, kubernetes: Path, manifests: str, record: dict[str, Any]) -> None:
    with stage(f"{instance.full_name}: node and add-ons"):
        api.apply(instance, kubernetes, manifests)
        health.wait_until_well(instance, _HEALTH_SECONDS)
    write_whole(_record_file(instance), json.dumps(record))
    instance.ready_marker.touch()


def _record(wanted: NodeDaemons, manifests: str) -> dict[str, Any]:
    """Return what an `up` has started, for the next one to compare and for `status` to look for."""
    return {
        "daemons": {daemon.name: list(daemon.argv) for daemon in wanted.all()},
        "addons": hashlib.sha256(manifests.encode()).hexdigest(),
    }


def _record_file(instance: Instance) -> Path:
    return instance.folder / "started.json"


def _is_running(instance: Instance, wanted: NodeDaemons, record: dict[str, Any]) -> bool:
    recorded = _record_file(instance)
    same = recorded.exists() and json.loads(recorded.read_text()) == record
    return same and all(process.pid_of(instance, daemon) for daemon in wanted.all())


def _remove(instance: Instance) -> None:
    if instance.folder.exists():
        _claim_folder(instance)
    # First of all: state that is only half removed is no cluster's any more.
    instance.ready_marker.unlink(missing_ok=True)
    _end_processes(instance)
    if instance.runtime.exists():
        shutil.rmtree(instance.runtime)
    if instance.folder.exists():
        _remove_folder(instance)


def _remove_folder(instance: Instance) -> None:
    """Remove the folder, and last of all what says that it is ours: a removal that is cut short can go on."""
    for path in sorted(set(instance.folder.iterdir()) - {instance.ownership_marker}):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    shutil.rmtree(instance.folder)


def _end_processes(instance: Instance) -> None:
    """End everything that runs for an instance, and with it the namespaces that hold its network and its mounts."""
    cgroups.kill(instance.full_name)
    network.remove_wire(instance)
    cgroups.remove(instance.full_name)
