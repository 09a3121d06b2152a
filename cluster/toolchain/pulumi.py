"""The Pulumi command line: the user's own when it fits, the built one otherwise; its providers, and its environment."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from cluster import paths
from cluster.errors import ClusterError
from cluster.toolchain.builder import ensure
from cluster.toolchain.recipes import PROVIDER_VERSIONS, PULUMI_VERSION

LANGUAGE_HOST = "pulumi-language-python"
DOWNLOAD_SECONDS = 60
DOWNLOADED = "downloaded from its vendor"


def pulumi() -> Path:
    """Return the CLI to use: the one on PATH if it is new enough and has its Python language host, or a built one.

    Raises:
        ClusterError: it had to be built, and could not be.
    """
    return _on_path() or ensure("pulumi")["pulumi"]


def pulumi_env() -> dict[str, str]:
    """Return the variables to set so that `pulumi` runs with the project's own versions, once these are in place.

    Nothing in them is a secret: the backend and its passphrase are up to the caller. PULUMI_HOME is the project's own,
    so that neither a login nor a plugin of the user's is changed.

    Raises:
        ClusterError: something had to be built or installed, and could not be.
    """
    users = _on_path()
    cli = users or ensure("pulumi")["pulumi"]
    home = paths.cache() / "pulumi-home"
    environment = {
        "PATH": os.pathsep.join([str(cli.parent), os.environ.get("PATH", os.defpath)]),
        "PULUMI_HOME": str(home),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        # A plugin that is not there is an error at once, and not a download in the middle of a preview.
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    }
    home.mkdir(parents=True, exist_ok=True)
    keep_no_logs(home)
    for name, version in PROVIDER_VERSIONS.items():
        _install_provider(cli, home, name, version, os.environ | environment, download=cli == users)
    return environment


def keep_no_logs(home: Path) -> None:
    """Have every `pulumi` with this PULUMI_HOME write no log of its own; `--logtostderr -v=9` still shows one.

    By itself it writes down every property of every resource, which takes longer than the rest of a preview, and has no
    switch for that. It goes on without where it cannot make its folder `logs`, and so a file stands there.

    Args:
        home: a folder that is there; what an earlier `pulumi` has logged in it is removed.
    """
    logs = home / "logs"
    if logs.is_dir():
        shutil.rmtree(logs, ignore_errors=True)  # others may do the same at this moment, or be at work in there
    logs.touch()


def _on_path() -> Path | None:
    """Return the CLI on PATH when it is new enough and a language host is beside it or on PATH too."""
    found = shutil.which("pulumi")
    if found is None:
        return None
    cli = Path(found)
    if not (cli.with_name(LANGUAGE_HOST).exists() or shutil.which(LANGUAGE_HOST)):
        return None
    answer = subprocess.run([cli, "version"], capture_output=True, text=True).stdout
    return cli if _release(answer) >= _release(PULUMI_VERSION) else None


def _release(version: str) -> tuple[int, ...]:
    """Return (3, 255, 0) for v3.255.0, and nothing, which is older than everything, for what is no version."""
    match = re.match(r"v?(\d+)\.(\d+)\.(\d+)", version)
    return tuple(map(int, match.groups())) if match else ()


def _install_provider(
    cli: Path, home: Path, name: str, version: str, environment: dict[str, str], download: bool
) -> None:
    """Install a provider into `home`, unless that has been done already.

    The user's own binary of that version comes first. A download is tried next, if asked for, and a build comes last.
    """
    origin = home / "origins" / f"{name}-v{version}"
    known = origin.read_text() if origin.exists() else None
    if known == DOWNLOADED:
        return
    install = [str(cli), "plugin", "install", "resource", name, version]
    binary = _users_provider(home, name, version)
    if binary is None:
        if download and known is None and _downloads(install, environment):
            _write_origin(origin, DOWNLOADED)
            return
        program = f"pulumi-resource-{name}"
        binary = ensure(program)[program]
    if known == str(binary):  # the path says which build it is, since it has the build's key
        return
    done = subprocess.run(
        [*install, "--file", str(binary), "--reinstall"], env=environment, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise ClusterError(f"Pulumi could not install its provider {name} {version}:\n{done.stderr.strip()}")
    _write_origin(origin, str(binary))


def _downloads(install: list[str], environment: dict[str, str]) -> bool:
    """Let Pulumi fetch a provider from its vendor, and return whether it could."""
    print(f"{' '.join(install[-2:])}: provider of Pulumi, downloading it", file=sys.stderr, flush=True)
    try:
        done = subprocess.run(install, env=environment, capture_output=True, timeout=DOWNLOAD_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _write_origin(origin: Path, text: str) -> None:
    origin.parent.mkdir(parents=True, exist_ok=True)
    origin.write_text(text)


def _users_provider(home: Path, name: str, version: str) -> Path | None:
    """Return the user's own binary of a provider, if exactly that version is installed."""
    users_home = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
    installed = users_home / "plugins" / f"resource-{name}-v{version}" / f"pulumi-resource-{name}"
    return installed if users_home != home and installed.exists() else None
