"""The stack that the fault tests act upon: the running dev stack, or one of the tests' own."""

from collections.abc import Iterator

import pytest

import settings
from checks.kube import Kube
from checks.stack import Stack
from cluster import instance as instances
from cluster import stack as cluster_stack
from tests.cluster.conftest import dev_stack, embedded_cluster
from tests.faults import hot_postgres
from tests.faults.client_pod import client_pod

__all__ = ["dev_stack", "embedded_cluster"]  # fixtures, which `--instance test` asks for

ROLLOUT = ("rollout", "status", "deployment/pgpool", "--timeout=120s")


def pytest_addoption(parser: pytest.Parser) -> None:
    """How often, and where."""
    parser.addoption("--runs", type=int, default=2, help="how often each fault with a figure is repeated")
    parser.addoption(
        "--instance",
        choices=("dev", "test"),
        default="test",
        help="`dev`: the running stack of `make up`; `test`: one that is made for the tests (default)",
    )


@pytest.fixture(scope="session")
def runs(request: pytest.FixtureRequest) -> int:
    """How often a fault is repeated."""
    count = request.config.getoption("--runs")
    if not 1 <= count <= 100:
        raise pytest.UsageError(f"--runs: got {count}; expected 1 to 100")
    return count


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """The stack; it is there and left as it was, `--instance test` apart."""
    if request.config.getoption("--instance") == "test":
        yield request.getfixturevalue("dev_stack")
        return
    dev = instances.get("dev")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in cluster_stack.environment_of(cluster_stack.wanted("dev"), dev).items():
            patch.setenv(name, value)
        yield Stack.of(settings.from_file("dev"))


@pytest.fixture(scope="session")
def clients(stack: Stack) -> Iterator[Kube]:
    """The pod that clients run in, and the table that they write to; gone after the last test."""
    kube = stack.kube
    hot_postgres.wait_until_healthy(kube)
    hot_postgres.create_rows_table(kube)
    with client_pod(kube):
        yield kube
    hot_postgres.wait_until_healthy(kube)
    hot_postgres.drop_rows_table(kube)


@pytest.fixture
def kube(clients: Kube) -> Iterator[Kube]:
    """kubectl on a whole stack; whatever the test did to it, it is whole again afterwards."""
    _wait_until_whole(clients)
    yield clients
    _wait_until_whole(clients)


def _wait_until_whole(kube: Kube) -> None:
    hot_postgres.wait_until_healthy(kube)
    kube.run(*ROLLOUT, timeout=130)
