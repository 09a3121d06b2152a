"""How long `pulumi preview` of the dev stack takes against that of an empty program, on the running dev cluster."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cluster import instance, stack
from cluster.errors import ClusterError

RUNS = 5
LIMIT = 3.0


def seconds_of(folder: Path, environment: dict[str, str], name: str) -> float:
    """Wall seconds of one preview in `folder`.

    Raises:
        ClusterError: Pulumi failed; in its own words.
    """
    started = time.monotonic()
    done = subprocess.run(
        ["pulumi", "--non-interactive", "preview", "--stack", name],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise ClusterError(f"preview failed:\n{done.stdout}{done.stderr}")
    return time.monotonic() - started


def make_empty_program(folder: Path, environment: dict[str, str]) -> None:
    """A project without resources that runs in this checkout's virtual environment, with a stack `empty`."""
    venv = stack.ROOT / ".venv"
    (folder / "Pulumi.yaml").write_text(
        f"name: empty\nruntime: {{name: python, options: {{toolchain: pip, virtualenv: {venv}}}}}\n"
    )
    (folder / "__main__.py").write_text("import pulumi\n")
    subprocess.run(
        ["pulumi", "--non-interactive", "stack", "init", "empty"],
        cwd=folder,
        env=os.environ | environment,
        check=True,
        capture_output=True,
    )


def main() -> int:
    """Print both medians and their ratio; the status is 1 when the ratio is over the limit."""
    dev = instance.get("dev")
    if not stack.backend(dev).exists():
        print("bench: there is no dev stack: run `make up` first", file=sys.stderr)
        return 2
    environment = stack.pulumi_environment(stack.wanted("dev"), dev)
    with tempfile.TemporaryDirectory() as scratch:
        backend = Path(scratch, "state")
        backend.mkdir()
        empty_environment = environment | {"PULUMI_BACKEND_URL": f"file://{backend}"}
        make_empty_program(Path(scratch), empty_environment)
        # In turns, so that a slow minute of the machine falls on both.
        pairs = [
            (seconds_of(stack.ROOT, environment, "dev"), seconds_of(Path(scratch), empty_environment, "empty"))
            for _ in range(RUNS)
        ]
    dev_median, empty_median = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = dev_median / empty_median
    print(f"preview of dev: median {dev_median:.2f} s of {RUNS}; of an empty program: {empty_median:.2f} s")
    print(f"ratio: {ratio:.2f} (at most {LIMIT:.0f})")
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
