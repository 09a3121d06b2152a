"""Whoever has a stack of an earlier version can go on with this one: recorded states meet today's program."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.engine.cli import STATEFUL
from tests.engine.conftest import MakeProject
from tests.engine.record import FOLDER
from tests.support.program import stack_file

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
    # Components that are new since then are as today's stack file says.
    project.configure({**stack_file(recorded["stack"], None), **recorded["config"]})
    project.restore(state)

    plan = project.preview()

    assert plan.lost() == {}
    resources = recorded["state"]["deployment"]["resources"]
    holds_data = {name_of(resource) for resource in resources if resource["type"] in STATEFUL}
    assert len(holds_data) >= 3, "the Namespace, a StatefulSet, a password"
    assert holds_data <= {step.name for step in plan.steps if step.op in {"same", "update"}}
    # What holds data and is created in a component that was there already would be a rename that nobody declared.
    components = [name_of(resource) for resource in resources if resource["type"].startswith("hotstack:index:")]
    created = [step.name for step in plan.steps if step.is_stateful and step.op == "create"]
    assert [name for name in created if any(name.startswith(f"{component}-") for component in components)] == []


def name_of(resource: dict[str, Any]) -> str:
    """The name in Pulumi of a resource of a state."""
    return resource["urn"].rpartition("::")[2]
