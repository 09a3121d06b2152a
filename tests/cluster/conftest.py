"""The embedded cluster that the tests of this tier share: the instance `test`, never the one that `make up` made."""

import json
import os
import subprocess
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from cluster import instance as instances
from cluster import node, preflight
from cluster.instance import Instance
from cluster.toolchain import ensure

Kubectl = Callable[..., str]


@pytest.fixture(scope="session")
def embedded_cluster() -> Iterator[Instance]:
    """The instance `test`, healthy; gone after the last test, unless HOTSTACK_KEEP=1 wants to look at it."""
    instance = instances.get("test")
    machine = preflight.look(instance)
    if machine.system != "Linux" or not machine.is_root:
        pytest.skip("; ".join(preflight.problems(machine)))
    node.up(instance)
    yield instance
    if os.environ.get("HOTSTACK_KEEP") != "1":
        node.down(instance)


@pytest.fixture(scope="session")
def kubectl(embedded_cluster: Instance) -> Kubectl:
    """Run kubectl on the test instance and return what it prints; `stdin` is its input."""
    binary = ensure("kubernetes")["kubernetes"]

    def run(*arguments: str, stdin: str | None = None) -> str:
        command = [str(binary), "kubectl", f"--kubeconfig={embedded_cluster.kubeconfig}", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr.strip()}"
        return done.stdout

    return run


@pytest.fixture
def apply(kubectl: Kubectl) -> Iterator[Callable[..., None]]:
    """Apply objects for one test; they are deleted after it."""
    applied: list[dict[str, Any]] = []

    def run(*objects: dict[str, Any]) -> None:
        applied.extend(objects)
        kubectl("apply", "--filename=-", stdin=_as_list(objects))

    yield run
    kubectl("delete", "--ignore-not-found", "--grace-period=1", "--filename=-", stdin=_as_list(applied))


def _as_list(objects: Iterable[dict[str, Any]]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
