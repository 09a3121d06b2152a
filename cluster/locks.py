"""Locks between processes; the kernel drops them when their holder ends, however it ends."""

import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def held(path: Path) -> Generator[None]:
    """Wait for the lock file's lock, and hold it while the body runs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another run that holds {path}", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
