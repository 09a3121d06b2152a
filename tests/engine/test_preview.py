"""`pulumi preview` of the project as it is, against a cluster that is away."""

import pytest

from tests.engine.conftest import MakeProject
from tests.support.program import STACKS, build


@pytest.mark.parametrize("stack", STACKS)
def test_a_first_preview_creates_just_what_the_program_declares(stack: str, real: MakeProject) -> None:
    steps = real(stack).preview().steps
    assert {step.op for step in steps} == {"create"}
    declared = {(resource.type, resource.name) for resource in build(stack).resources}
    assert {(step.type, step.name) for step in steps if step.type != "pulumi:pulumi:Stack"} == declared


def test_a_misspelled_key_fails_the_preview_with_its_path_and_creates_nothing(real: MakeProject) -> None:
    project = real("dev", {"redis": {"topolgy": "standalone"}, "fastapi": {"replicas": "two"}})
    said = project.run("preview", fails=True)
    assert "Pulumi.dev.yaml cannot be used:" in said
    assert "hotstack:redis.topolgy: unknown key" in said
    assert 'hotstack:fastapi.replicas: got "two"; input should be a valid integer' in said
    assert "Traceback" not in said
    assert "kubernetes:" not in said


def test_an_unknown_stack_fails_the_preview_with_the_names_of_the_known_ones(real: MakeProject) -> None:
    said = real("qa").run("preview", fails=True)
    assert "unknown stack 'qa'" in said
    assert "dev, prod, staging" in said
    assert "kubernetes:" not in said
