"""A preview right after `up` shows no change, whatever the stack's shape."""

import pytest

from tests.engine.conftest import MakeProject
from tests.support.program import Overrides

STANDALONE = {"topology": "standalone", "replicas": None}
SHAPES: dict[str, tuple[str, Overrides]] = {
    "dev": ("dev", {}),
    "dev, standalone": ("dev", {"redis": STANDALONE}),
    "dev, with a password": ("dev", {"redis": {"auth": {"mode": "generated", "rotation": 2}}}),
    "dev, standalone with a password": ("dev", {"redis": {**STANDALONE, "auth": {"mode": "generated"}}}),
    "staging": ("staging", {}),
    "prod": ("prod", {}),
}


@pytest.mark.parametrize(("stack", "overrides"), SHAPES.values(), ids=SHAPES)
def test_a_preview_right_after_up_shows_no_change(stack: str, overrides: Overrides, offline: MakeProject) -> None:
    project = offline(stack, overrides)
    project.up()
    assert project.preview().changed() == {}
