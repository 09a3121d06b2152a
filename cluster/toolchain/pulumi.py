"""The Pulumi command line: the user's own when it fits, the built one otherwise; its providers, and its environment."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from cluster import paths
from cluster.errors import ClusterError
from cluster.toolchain.builder import ensure
from cluster.toolchain.recipes import PROVIDER_VERSIONS, PULUMI_VERSION

LANGUAGE_HOST = "pulumi-language-python"


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
    cli = pulumi()
    home = paths.cache() / "pulumi-home"
    environment = {
        "PATH": os.pathsep.join([str(cli.parent), os.environ.get("PATH", os.defpath)]),
        "PULUMI_HOME": str(home),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        # Every command leaves a log in PULUMI_HOME.
        "PULUMI_LOG_ROTATION_MAX_TOTAL_MB": "50",
        # A plugin that is not there is an error at once, and not a download in the middle of a preview.
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    }
    for name, version in PROVIDER_VERSIONS.items():
        _install_provider(cli, home, name, version, environment)
    return environment


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


def _install_provider(cli: Path, home: Path, name: str, version: str, environment: dict[str, str]) -> None:
    """Install a provider into `home`, unless that has been done from the same binary."""
    binary = _provider(home, name, version)
    origin = home / "origins" / f"{name}-v{version}"  # the path says which build it was, since it has the build's key
    if origin.exists() and origin.read_text() == str(binary):
        return
    done = subprocess.run(
        [cli, "plugin", "install", "resource", name, version, "--file", binary, "--reinstall"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise ClusterError(f"Pulumi could not install its provider {name} {version}:\n{done.stderr.strip()}")
    origin.parent.mkdir(parents=True, exist_ok=True)
    origin.write_text(str(binary))


def _provider(home: Path, name: str, version: str) -> Path:
    """Return the provider's binary: the user's own if exactly that version is installed, or a built one."""
    users_home = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
    program = f"pulumi-resource-{name}"
    installed = users_home / "plugins" / f"resource-{name}-v{version}" / program
    if users_home != home and installed.exists():
        return installed
    return ensure(program)[program]
