"""A copy of the program with a stack file of its own, so that a test can up shapes that no stack of ours has.

It lives beside the dev stack of the same cluster: in a namespace of its own, with Pulumi's state of its own.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

import settings
from checks.stack import Stack
from tests.support.program import Overrides, merge, stack_file

STACK = "shapes"
NODE_PORT = 30002
_UP_SECONDS = 600
# One PostgreSQL without backups, in a namespace with Pod Security `restricted`; the operator and monitoring are the dev
# stack's.
_SMALL: Overrides = {
    "kubernetes": {"namespace": STACK, "podSecurity": None},
    "objectStore": None,
    "postgres": {
        "instances": 1,
        "storage": {"size": "1Gi"},
        "synchronous": {"method": "none"},
        "cloudnativePg": {"operator": {"mode": "present", "manifest": None, "image": None}, "backup": None},
    },
    "fastapi": {"nodePort": NODE_PORT, "drainSeconds": 2, "ingress": None},
    "monitoring": None,
}


class Project:
    """The copy in `folder`, with Pulumi's state in `backend`."""

    def __init__(self, folder: Path, backend: Path) -> None:
        self._folder = folder
        self._stack_file = folder / f"Pulumi.{STACK}.yaml"
        self._backend = backend
        backend.mkdir(mode=0o700, exist_ok=True)
        for name in ("Pulumi.yaml", "__main__.py", "settings.py", "watched.py"):
            shutil.copy(settings.ROOT / name, folder / name)
        for name in ("components", "images", "app", "cluster/toolchain"):
            shutil.copytree(settings.ROOT / name, folder / name)
        (folder / ".venv").symlink_to(settings.ROOT / ".venv")
        self._pulumi("stack", "select", "--create", STACK)

    def up(self, redis: dict[str, Any], **others: Mapping[str, Any]) -> Stack:
        """`pulumi up` of a small stack with these settings of Redis, and with changes to its other parts.

        Args:
            redis: what differs from the dev stack's.
            others: by part of the stack file, what differs from one PostgreSQL without backups; `{}` of a part that
                the small stack does without is the dev stack's.

        Returns:
            What the checks need of the result.
        """
        values = self._configure(redis, others)
        self._pulumi("up", "--yes", "--skip-preview", "--stack", STACK)
        return Stack.of(settings.parse(STACK, values))

    def failing_up(self, redis: dict[str, Any]) -> str:
        """The same for settings that cannot come to life; what Pulumi printed."""
        self._configure(redis, {})
        return self._pulumi("up", "--yes", "--skip-preview", "--stack", STACK, fails=True)

    def _configure(self, redis: dict[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
        values = stack_file("dev", merge(_SMALL, others))
        values["hotstack:redis"] = {**values["hotstack:redis"], **redis}
        if redis.get("topology") == "standalone":
            del values["hotstack:redis"]["replicas"]
        # What Pulumi itself wrote into the file stays: the salt of its secrets.
        own = yaml.safe_load(self._stack_file.read_text()) if self._stack_file.exists() else {}
        self._stack_file.write_text(yaml.safe_dump({**own, "config": values}))
        return values

    def preview(self) -> None:
        """`pulumi preview`, which fails the test when it shows any change."""
        self._pulumi("preview", "--diff", "--expect-no-changes", "--stack", STACK)

    def destroy(self) -> None:
        """`pulumi destroy`."""
        self._pulumi("destroy", "--yes", "--skip-preview", "--stack", STACK)

    def _pulumi(self, *arguments: str, fails: bool = False) -> str:
        done = subprocess.run(
            ["pulumi", "--non-interactive", *arguments],
            cwd=self._folder,
            env=os.environ | {"PULUMI_BACKEND_URL": f"file://{self._backend}"},
            capture_output=True,
            text=True,
            timeout=_UP_SECONDS,
        )
        assert (done.returncode != 0) == fails, f"pulumi {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr
