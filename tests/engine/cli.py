"""The Pulumi CLI as the tests use it: one project folder and one stack, in a backend of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cluster.toolchain.pulumi import keep_no_logs
from tests.support.program import PROJECT, ROOT, Overrides, stack_file

SECONDS = 60
UNREACHABLE = "https://127.0.0.1:1"
_WRAPPER = Path(__file__).parent / "offline" / "__main__.py"
STATEFUL = frozenset(
    {
        "kubernetes:apps/v1:StatefulSet",
        "kubernetes:core/v1:Namespace",
        "kubernetes:core/v1:PersistentVolumeClaim",
        "kubernetes:kubedb.com/v1:Postgres",
        "kubernetes:postgresql.cnpg.io/v1:Cluster",
        "random:index/randomPassword:RandomPassword",
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What the engine means to do with one resource.

    Attributes:
        op: `same`, `create`, `update`, `replace`, `delete`, ...
        type: `kubernetes:apps/v1:StatefulSet`.
        name: its name in Pulumi.
        changes: paths of the properties that differ, sorted.
    """

    op: str
    type: str
    name: str
    changes: tuple[str, ...]

    @property
    def is_stateful(self) -> bool:
        """Whether data is lost when it is deleted or made anew."""
        return self.type in STATEFUL


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a preview says, resource by resource."""

    steps: tuple[Step, ...]

    def changed(self) -> dict[str, set[str]]:
        """Operations other than `same` by name in Pulumi; a replacement is several."""
        result: dict[str, set[str]] = {}
        for step in self.steps:
            if step.op != "same":
                result.setdefault(step.name, set()).add(step.op)
        return result

    def step(self, name: str) -> Step:
        """The only step for the resource of that name in Pulumi."""
        (step,) = [step for step in self.steps if step.name == name]
        return step

    def lost(self) -> dict[str, set[str]]:
        """`changed` of stateful resources that neither stay, nor are updated in place, nor are new."""
        stateful = {step.name for step in self.steps if step.is_stateful}
        return {
            name: operations
            for name, operations in self.changed().items()
            if name in stateful and not operations <= {"create", "update"}
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """A project folder with one stack.

    Attributes:
        folder: where its Pulumi.yaml and stack file are.
        stack: name of the stack.
        environment: all variables of the CLI.
        program: the folder that the CLI is told to run in; another one than `folder` for the project's own.
    """

    folder: Path
    stack: str
    environment: Mapping[str, str]
    program: Path

    @property
    def stack_file(self) -> Path:
        """The stack file that the CLI is given."""
        return self.folder / f"Pulumi.{self.stack}.yaml"

    def configure(self, config: Mapping[str, object]) -> None:
        """Give the stack another `config`; what the CLI keeps in its file beside that stays."""
        kept = yaml.safe_load(self.stack_file.read_text()) if self.stack_file.exists() else {}
        self.stack_file.write_text(yaml.safe_dump({**kept, "config": dict(config)}))

    def preview(self) -> Plan:
        """What `pulumi preview` means to do now."""
        steps = json.loads(self.run("preview", "--json", "--show-sames"))["steps"]
        return Plan(steps=tuple(_step(step) for step in steps))

    def up(self) -> None:
        """Do it."""
        self.run("up", "--yes", "--skip-preview", "--suppress-progress")

    def run(self, *arguments: str, fails: bool = False) -> str:
        """What the CLI prints for the stack; it must succeed, or fail when `fails`."""
        stack = ["--stack", self.stack, "--config-file", str(self.stack_file)]
        return pulumi(["pulumi", *arguments, "--non-interactive", *stack], self.program, self.environment, fails)

    def export(self) -> dict[str, Any]:
        """The state, with its secrets in plain text."""
        command = ["pulumi", "stack", "export", "--show-secrets", "--stack", self.stack]
        return json.loads(pulumi(command, self.folder, self.environment))

    def restore(self, state: Path) -> None:
        """Put a state that `export` gave in the place of the stack's own."""
        pulumi(
            ["pulumi", "stack", "import", "--stack", self.stack, "--file", str(state)], self.folder, self.environment
        )


def pulumi(command: list[str], folder: Path, environment: Mapping[str, str], fails: bool = False) -> str:
    """What a command line of the CLI prints in `folder`; it must succeed, or fail when `fails`."""
    # In a session of its own: when the CLI does not end in time, neither do its plugins, which it alone would end.
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert (process.returncode != 0) == fails, f"{' '.join(command)}\n{output}\n{errors}"
    return output


def make_project(
    folder: Path, base: Mapping[str, str], stack: str, overrides: Overrides | None = None, offline: bool = True
) -> Project:
    """A new project with a new stack.

    Args:
        folder: an empty folder; the backend, the kubeconfig and the CLI's own home are put into it too.
        base: the environment in which `pulumi` is found.
        stack: name of the stack; its settings are those of the repository's file.
        overrides: what to merge into these settings.
        offline: run the project's program against no cluster, so that `up` works. Otherwise run it as it is, against a
            cluster that is away, so that only `preview` works.
    """
    (folder / "backend").mkdir(parents=True)
    # Only the plugins are shared.
    home = folder / "pulumi-home"
    home.mkdir()
    keep_no_logs(home)
    (home / "plugins").symlink_to(Path(base["PULUMI_HOME"]) / "plugins")
    environment = {
        **base,
        "HOME": str(folder),
        "PULUMI_HOME": str(home),
        "HOTSTACK_ROOT": str(ROOT),
        "PULUMI_BACKEND_URL": f"file://{folder / 'backend'}",
        "PULUMI_CONFIG_PASSPHRASE": "throwaway",
    }
    options = {"toolchain": "pip", "virtualenv": sys.prefix}
    (folder / "Pulumi.yaml").write_text(
        yaml.safe_dump({"name": PROJECT, "runtime": {"name": "python", "options": options}})
    )
    (folder / "__main__.py").write_text(_WRAPPER.read_text())
    if not offline:
        environment["KUBECONFIG"] = str(_kubeconfig(folder, stack))
    project = Project(folder=folder, stack=stack, environment=environment, program=folder if offline else ROOT)
    project.configure(stack_file(stack, overrides))
    pulumi(["pulumi", "stack", "init", stack, "--no-select", "--non-interactive"], folder, environment)
    return project


def base_environment(pulumi_env: Mapping[str, str]) -> dict[str, str]:
    """The environment of all projects: the CLI's, and of this process only what a program cannot do without."""
    return {**{key: os.environ[key] for key in ("PATH", "LANG", "TMPDIR") if key in os.environ}, **pulumi_env}


def _kubeconfig(folder: Path, stack: str) -> Path:
    context = stack_file(stack, None).get(f"{PROJECT}:kubernetes", {}).get("context", "none")
    path = folder / "kubeconfig"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "away", "cluster": {"server": UNREACHABLE}}],
        "users": [{"name": "nobody", "user": {"token": "none"}}],  # without one the provider would ask on stdin
        "contexts": [{"name": context, "context": {"cluster": "away", "user": "nobody"}}],
    }
    path.write_text(yaml.safe_dump(content))
    return path


def _step(step: Mapping[str, Any]) -> Step:
    _, _, type_, name = step["urn"].split("::")
    return Step(
        op=step["op"],
        type=type_.rpartition("$")[2],
        name=name,
        changes=tuple(sorted(step.get("detailedDiff") or {})),
    )
