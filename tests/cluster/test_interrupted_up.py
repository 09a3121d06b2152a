"""`make up` that is killed while Pulumi works, and run again."""

import os
import signal
import subprocess
import sys

import pytest

import settings
from checks.outcome import eventually
from checks.stack import Stack
from cluster import stack
from cluster.instance import Instance

UP = [sys.executable, "-m", "cluster", "up", "--stack", "dev", "--instance", "test"]


@pytest.fixture
def killed_up(embedded_cluster: Instance, dev_stack: Stack) -> None:
    """A `make up` of a stack that was not there, killed with all its children once Redis is half made."""
    environment = stack.environment_of(stack.wanted("dev"), embedded_cluster)
    stack.pulumi(environment, "destroy", "--yes", "--skip-preview", "--suppress-progress", "--stack", "dev")
    up = subprocess.Popen(UP, cwd=settings.ROOT, start_new_session=True, stdout=subprocess.DEVNULL)
    try:
        eventually(lambda: None if dev_stack.kube.objects("statefulsets", "app=redis") else "no Redis", seconds=120)
    finally:
        os.killpg(up.pid, signal.SIGKILL)
        up.wait(timeout=10)


@pytest.mark.usefixtures("killed_up")
def test_an_up_that_was_killed_in_pulumi_is_completed_by_the_next_one(
    embedded_cluster: Instance, capfd: pytest.CaptureFixture[str]
) -> None:
    stack.up("dev", embedded_cluster)
    assert "a Pulumi that was killed left its lock" in capfd.readouterr().out
    environment = os.environ | stack.environment_of(stack.wanted("dev"), embedded_cluster)
    preview = ["pulumi", "--non-interactive", "preview", "--expect-no-changes", "--stack", "dev"]
    done = subprocess.run(preview, cwd=settings.ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
