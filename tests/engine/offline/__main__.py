"""Runs the project's program against no cluster: the provider writes each object to a file instead.

The provider takes a context or a folder, not both, so the one that `__main__.py` makes is changed on its way.
"""

import os
import runpy
import sys
from pathlib import Path
from typing import Any

import pulumi_kubernetes as kubernetes

ROOT = Path(os.environ["HOTSTACK_ROOT"])
FOLDER = "rendered"  # a relative path, for it becomes part of the state


class RenderingProvider(kubernetes.Provider):
    """A provider for which creating an object is writing a file, and which says the same of every difference."""

    def __init__(self, name: str, **arguments: Any) -> None:  # noqa: ANN401 - whatever a provider takes
        ours = {key: value for key, value in arguments.items() if key not in {"context", "cluster_identifier"}}
        super().__init__(name, render_yaml_to_directory=FOLDER, **ours)


setattr(kubernetes, "Provider", RenderingProvider)  # noqa: B010 - to a type checker a class is not to be replaced
sys.path.insert(0, str(ROOT))
runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__")
