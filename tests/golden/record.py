"""`python -m tests.golden.record` (`make golden`): record what every stack declares today."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components import plain_yaml
from tests.support.graph import Graph, Resource
from tests.support.program import STACKS, build

FOLDER = Path(__file__).parent
_BUILT = re.compile(r"(hotstack/[a-z0-9-]+:([0-9.]+-)?)[0-9a-f]{12}")
_RELEASE = "<the operator's release>"
_OF_IMAGE = re.compile(r"\b(fastapi-migration)-[0-9a-f]{10}")


def path(stack: str) -> Path:
    """Where the golden of `stack` is."""
    return FOLDER / f"{stack}.yaml"


def golden(graph: Graph) -> str:
    """The graph as YAML of stable order: secrets masked, and what changes with any file of an image that is built.

    The release of an operator is one line in what comes after it: it is the work of others, and here a stand-in.
    """
    released = {resource.urn: _RELEASE for resource in graph.released()}
    content = {
        "outputs": dict(graph.outputs),
        "resources": {
            _short(resource.urn): _resource(resource, released)
            for resource in graph.resources
            if not resource.is_released
        },
    }
    text = plain_yaml.text(content, sort_keys=True)
    return _OF_IMAGE.sub(r"\1-<of the image>", _BUILT.sub(r"\1<built>", text))


def _short(urn: str) -> str:
    return urn.split("::", 2)[2]


def _resource(resource: Resource, stand_ins: Mapping[str, str]) -> dict[str, Any]:
    """What a review needs to see; the type and the chain of parents stand in the URN."""
    said = {
        "dependsOn": sorted({stand_ins.get(urn) or _short(urn) for urn in resource.dependencies}),
        "protect": resource.protect,
        "retainOnDelete": resource.retain_on_delete,
        "timeouts": dict(resource.timeouts),
        "properties": resource.masked(),
    }
    return {key: value for key, value in said.items() if value}


def main() -> None:
    """Write all goldens."""
    for stack in STACKS:
        path(stack).write_text(golden(build(stack)))
        print(f"recorded {path(stack).relative_to(Path.cwd())}")


if __name__ == "__main__":
    main()
