"""Fixtures of all tiers."""

import gc

import pytest

from tests.support.graph import Graph
from tests.support.program import STACKS, build


def pytest_collection_finish() -> None:
    """Look for garbage less often: of the much that a run of the program makes, nothing is garbage before its end."""
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


@pytest.fixture(scope="session", params=STACKS)
def graph(request: pytest.FixtureRequest) -> Graph:
    """The graph of each stack, as its file in the repository says."""
    return build(request.param)
