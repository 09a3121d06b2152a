"""What the engine itself makes of a stack file, told by small programs."""

import json

from tests.engine.conftest import MakeProject
from tests.support.program import config

SHOW_CONFIG = """
import os, pathlib
pathlib.Path("config.json").write_text(os.environ["PULUMI_CONFIG"])
"""
WITHOUT_PROVIDER = """
from pulumi_kubernetes.core.v1 import ConfigMap
ConfigMap("stray", metadata={"name": "stray", "namespace": "default"})
"""


def test_the_engine_hands_over_the_config_just_as_the_harness_of_the_unit_tests_does(offline: MakeProject) -> None:
    overrides = {"redis": {"protect": False}, "probe": {"whole": 1, "half": 0.5, "text": "1", "nothing": [None, True]}}
    project = offline("dev", overrides)
    (project.folder / "__main__.py").write_text(SHOW_CONFIG)
    project.run("preview")
    handed_over = json.loads((project.folder / "config.json").read_text())
    assert decoded(handed_over) == decoded(config("dev", overrides))


def decoded(flat: dict[str, str]) -> str:
    """Config with its JSON decoded, as one text in which `1`, `1.0`, `true` and `"1"` all differ."""
    assert all(isinstance(value, str) for value in flat.values())
    return json.dumps({key: json.loads(value) for key, value in flat.items()}, sort_keys=True, indent=1)


def test_no_object_can_land_in_whatever_context_is_current(offline: MakeProject) -> None:
    project = offline("dev")
    (project.folder / "__main__.py").write_text(WITHOUT_PROVIDER)
    assert "Default provider for 'kubernetes' disabled" in project.run("preview", fails=True)
