"""Fixtures of all tiers."""

import pytest

from tests.support.graph import Graph
from tests.support.program import STACKS, build


@pytest.fixture(scope="session", params=STACKS)
def graph(request: pytest.FixtureRequest) -> Graph:
    """The graph of each stack, as its file in the repository says."""
    return build(request.param)
