"""Whoever has a stack of an earlier version can go on with this one: recorded states meet today's program."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.engine.conftest import MakeProject
from tests.engine.record import FOLDER

STATES = sorted(FOLDER.glob("*.json"))


@pytest.fixture(params=STATES, ids=lambda path: path.stem)
def recorded(request: pytest.FixtureRequest) -> dict[str, Any]:
    return json.loads(request.param.read_text())


def test_there_is_a_state_to_upgrade() -> None:
    assert STATES


def test_an_upgrade_deletes_and_replaces_nothing_that_holds_data(
    recorded: dict[str, Any], offline: MakeProject, tmp_path: Path
) -> None:
    state = tmp_path / "state.json"
    state.write_text(json.dumps(recorded["state"]))
    project = offline(recorded["stack"])
    project.configure(recorded["config"])
    project.restore(state)

    plan = project.preview()

    assert plan.lost() == {}
    # A resource that were created beside its recorded self would be a rename that nobody declared.
    assert {step.op for step in plan.steps if step.is_stateful} <= {"same", "update"}
    assert sum(step.is_stateful for step in plan.steps) >= 3, "the Namespace, a StatefulSet, a password"
