"""The instance's container runtime, spoken to over its socket."""

import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from cluster.errors import ClusterError
from cluster.instance import Instance


def images(instance: Instance) -> dict[str, str]:
    """Return the digests of the images that pods can be started from, by each name that an image has."""
    rows = [line.split() for line in _ctr(instance, "images", "ls").splitlines()[1:]]
    return {name: digest for name, _type, digest, *_ in rows}


def images_of_containers(instance: Instance) -> set[str]:
    """Return the names of the images that containers were made from, those that have ended included."""
    return {line.split()[1] for line in _ctr(instance, "containers", "ls").splitlines()[1:]}


def remove_images(instance: Instance, names: Iterable[str]) -> None:
    """Take names away from images; one without any name is gone for good."""
    _ctr(instance, "images", "rm", *names)


def import_archive(instance: Instance, archive: Path) -> None:
    """Import an OCI archive, under the reference that it names.

    Raises:
        ClusterError: containerd refused it.
    """
    _ctr(instance, "images", "import", str(archive))


def wait_until_serving(instance: Instance, seconds: float) -> None:
    """Wait until containerd answers.

    Raises:
        ClusterError: it does not after that many seconds.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            _ctr(instance, "version")
            return
        except ClusterError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def running_containers(instance: Instance) -> set[str]:
    """Return the ids of the containers that have a live process."""
    rows = [line.split() for line in _ctr(instance, "tasks", "ls").splitlines()]
    return {row[0] for row in rows if row[-1] == "RUNNING"}


def _ctr(instance: Instance, *arguments: str) -> str:
    command = ["ctr", f"--address={instance.containerd_socket}", "--namespace=k8s.io", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise ClusterError(f"`ctr {' '.join(arguments)}` failed in {instance.full_name}: {done.stderr.strip()}")
    return done.stdout
