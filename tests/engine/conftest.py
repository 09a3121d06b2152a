"""Projects for the engine tier; the first test to ask for one waits until the CLI is there."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.toolchain.pulumi import pulumi_env
from tests.engine.cli import Project, base_environment, make_project
from tests.support.program import Overrides

MakeProject = Callable[..., Project]


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """The environment in which the CLI and its providers are found; they are built when they are not there."""
    return base_environment(pulumi_env())


@pytest.fixture
def offline(tmp_path: Path, environment: dict[str, str]) -> MakeProject:
    """Makes a project whose `up` writes files: `offline("dev", {...})`."""

    def make(stack: str, overrides: Overrides | None = None) -> Project:
        return make_project(tmp_path / "project", environment, stack, overrides)

    return make


@pytest.fixture
def real(tmp_path: Path, environment: dict[str, str]) -> MakeProject:
    """Makes a project that runs the program as it is, against a cluster that is away: `real("dev", {...})`."""

    def make(stack: str, overrides: Overrides | None = None) -> Project:
        return make_project(tmp_path / "project", environment, stack, overrides, offline=False)

    return make
