"""promtool, which tests rules: out of Debian's package, without installing anything."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from cluster import locks, paths
from cluster.errors import ClusterError
from cluster.stages import stage

_OWN_PACKAGE, _SERVERS_PACKAGE = "promtool", "prometheus"  # Debian 13 has one of its own
_INSIDE = Path("usr", "bin", "promtool")


def ensure() -> Path:
    """Return the path of promtool: the one on PATH, or the cache's, which is filled once per machine.

    Raises:
        ClusterError: this is no Debian, or apt-get could not get the package; the sentence says what to install.
    """
    if found := shutil.which("promtool"):
        return Path(found)
    kept = paths.cache() / "promtool"
    with locks.held(kept.with_name("promtool.lock")):
        if not kept.exists():
            _fetch(kept)
    return kept


def _fetch(target: Path) -> None:
    missing = [program for program in ("apt-get", "dpkg-deb") if shutil.which(program) is None]
    if missing:
        raise ClusterError(f"promtool and {' and '.join(missing)} are missing: install promtool, of Prometheus")
    # Beside its target, so that the last step is one rename: a run that is killed leaves nothing that looks whole.
    with stage("fetching promtool"), tempfile.TemporaryDirectory(dir=target.parent) as work:
        if os.geteuid() == 0:
            _run(["apt-get", "--quiet=2", "--option=DPkg::Lock::Timeout=300", "update"], work)
        own = subprocess.run(["apt-cache", "show", _OWN_PACKAGE], capture_output=True).returncode == 0
        name = _OWN_PACKAGE if own else _SERVERS_PACKAGE
        _run(["apt-get", "--quiet=2", "download", name], work)
        [package] = Path(work).glob(f"{name}_*.deb")
        _run(["dpkg-deb", "--extract", str(package), "content"], work)
        Path(work, "content", _INSIDE).rename(target)


def _run(command: list[str], folder: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        raise ClusterError(f"`{' '.join(command)}` failed, so there is no promtool:\n{done.stderr.strip()}")
