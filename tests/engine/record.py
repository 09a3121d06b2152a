"""`python -m tests.engine.record`: record the state of each kind of stack as an `up` of today leaves it.

Done once for a release. The tests preview later programs against it: whoever lives in such a state must be able to
upgrade. A recording is never made anew to get past a test; that would say that all users start again.
"""

import base64
import json
import re
import tempfile
from pathlib import Path
from typing import Any

from cluster.toolchain.pulumi import pulumi_env
from tests.engine.cli import Project, base_environment, make_project
from tests.support.program import ROOT, Overrides, stack_file

FOLDER = Path(__file__).parent / "states"
RECORDED: dict[str, tuple[str, Overrides]] = {
    "dev": ("dev", {}),
    "dev-standalone": ("dev", {"redis": {"topology": "standalone", "replicas": None, "auth": {"mode": "generated"}}}),
    "prod": ("prod", {}),
}
# What says when and from where a state was made.
_INCIDENTAL = frozenset({"created", "modified", "sourcePosition", "stackTrace", "time"})


def recording(project: Project) -> dict[str, Any]:
    """The state of a project, without secrets, paths and times."""
    state = _without_incidentals(project.export())
    passwords = [
        json.loads(resource["outputs"]["result"]["plaintext"])
        for resource in state["deployment"]["resources"]
        if resource["type"].endswith("RandomPassword")
    ]
    text = json.dumps(state, indent=1, sort_keys=True)
    for number, password in enumerate(passwords):
        stand_in = f"NotAPassword{number:020d}"
        text = text.replace(password, stand_in).replace(_base64(password), _base64(stand_in))
    return json.loads(re.sub(r"\$2[aby]\$[^\\\"]+", "bcrypt", text))


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _without_incidentals(value: object) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return {key: _without_incidentals(item) for key, item in value.items() if key not in _INCIDENTAL}
    return [_without_incidentals(item) for item in value] if isinstance(value, list) else value


def main() -> None:
    """Record all states of this version."""
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    environment = base_environment(pulumi_env())
    FOLDER.mkdir(exist_ok=True)
    for name, (stack, overrides) in RECORDED.items():
        with tempfile.TemporaryDirectory() as folder:
            project = make_project(Path(folder), environment, stack, overrides)
            project.up()
            content = {"stack": stack, "config": stack_file(stack, overrides), "state": recording(project)}
        path = FOLDER / f"{version[1] if version else 'unknown'}-{name}.json"
        path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
        print(f"recorded {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
