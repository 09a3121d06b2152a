"""`make up` that is killed while Pulumi works, and run again."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import settings
from checks.outcome import eventually
from checks.stack import Stack
from cluster import cgroups, interrupted, stack
from cluster.instance import Instance

UP = [sys.executable, "-m", "cluster", "up", "--stack", "dev", "--instance", "test"]


@pytest.fixture
def killed_ups(embedded_cluster: Instance, dev_stack: Stack, tmp_path: Path) -> Iterator[None]:
    """Three `make up` of a stack that was not there, each killed with all its children before it was through."""

    def has_redis() -> bool:
        return bool(dev_stack.kube.objects("statefulsets", "app=redis"))

    environment = stack.environment_of(stack.wanted("dev"), embedded_cluster)
    stack.pulumi(environment, "destroy", "--yes", "--skip-preview", "--suppress-progress", "--stack", "dev")
    _up_killed_once(has_new_lock(embedded_cluster), tmp_path / "nothing-made.log")
    _up_killed_once(has_redis, tmp_path / "redis-half-made.log")
    _up_killed_once(has_new_lock(embedded_cluster), tmp_path / "cleaning-up.log")
    yield
    # The tests after this one want the stack whole, whatever came of it here.
    stack.up("dev", embedded_cluster)


def has_new_lock(instance: Instance) -> Callable[[], bool]:
    """Tells whether a Pulumi that started after this call has locked its stack."""
    before = set(_backend_files(instance, "*.json"))
    return lambda: any("locks" in path.parts for path in set(_backend_files(instance, "*.json")) - before)


def _backend_files(instance: Instance, pattern: str) -> list[Path]:
    return list(stack.backend(instance).rglob(pattern))


def _up_killed_once(reached: Callable[[], bool], log: Path) -> None:
    with log.open("w") as output:
        up = subprocess.Popen(UP, cwd=settings.ROOT, start_new_session=True, stdout=output, stderr=output)
    try:
        eventually(lambda: None if reached() or up.poll() is not None else "not that far", seconds=120, pause=0.05)
        assert up.poll() is None, log.read_text()
    finally:
        os.killpg(up.pid, signal.SIGKILL)
        up.wait(timeout=10)


@pytest.mark.usefixtures("killed_ups")
def test_an_up_that_was_killed_in_pulumi_again_and_again_is_completed_by_the_next_one(
    embedded_cluster: Instance, capfd: pytest.CaptureFixture[str]
) -> None:
    # At once: what was killed is still there for a moment.
    stack.up("dev", embedded_cluster)
    assert "a Pulumi that was killed left its lock" in capfd.readouterr().out
    assert cgroups.pids(interrupted.cgroup(embedded_cluster, "dev")) == set(), "plugins of the killed ones still run"
    # Pulumi reads none of its state when such a file is empty, and it is while it is written.
    assert _backend_files(embedded_cluster, "*.attrs") == []
    environment = os.environ | stack.environment_of(stack.wanted("dev"), embedded_cluster)
    preview = ["pulumi", "--non-interactive", "preview", "--expect-no-changes", "--stack", "dev"]
    done = subprocess.run(preview, cwd=settings.ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
