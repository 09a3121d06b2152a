"""The embedded cluster that the tests of this tier share: the instance `test`, never the one that `make up` made."""

import os
from collections.abc import Iterator

import pytest

import settings
from checks.stack import Stack
from cluster import instance as instances
from cluster import node, preflight, stack
from cluster.instance import Instance


@pytest.fixture(scope="session", autouse=True)
def _machine() -> None:
    """Skip where no embedded cluster can ever run; a machine that lacks memory, disk or a port fails instead."""
    if found := preflight.unsuitable(preflight.look(instances.get("test"))):
        pytest.skip("; ".join(found))


@pytest.fixture(scope="session")
def embedded_cluster() -> Iterator[Instance]:
    """The instance `test`, healthy; gone after the last test, unless HOTSTACK_KEEP=1 wants to look at it."""
    instance = instances.get("test")
    node.up(instance)
    yield instance
    if os.environ.get("HOTSTACK_KEEP") != "1":
        node.down(instance)


@pytest.fixture(scope="session")
def dev_stack(embedded_cluster: Instance) -> Iterator[Stack]:
    """The dev stack, live on the test instance; `pulumi`, `kubectl` and the checks find it by the environment."""
    stack.up("dev", embedded_cluster)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in stack.environment_of(stack.wanted("dev"), embedded_cluster).items():
            patch.setenv(name, value)
        yield Stack.of(settings.from_file("dev"))
