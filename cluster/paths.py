"""Where the project keeps what is not part of a checkout."""

import os
from pathlib import Path

MANIFESTS = Path(__file__).parent / "manifests"


def cache() -> Path:
    """Return the folder of builds that are made once per machine: `HOTSTACK_CACHE`, or the user's cache folder."""
    if chosen := os.environ.get("HOTSTACK_CACHE"):
        return Path(chosen)
    user_cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(user_cache) / "hotstack"


def state() -> Path:
    """Return the folder that holds one folder for each instance: `HOTSTACK_STATE`, or `/var/lib/hotstack`."""
    return Path(os.environ.get("HOTSTACK_STATE") or "/var/lib/hotstack")


def runtime() -> Path:
    """Return the folder of locks, sockets and whatever else must not outlive a reboot."""
    return Path("/run/hotstack")
