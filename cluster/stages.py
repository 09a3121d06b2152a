"""One line for each long step: what it is, and how many seconds it took."""

import time
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def stage(title: str) -> Generator[None]:
    """Print `title` and its seconds once the body has succeeded; a body that fails reports for itself."""
    started = time.monotonic()
    yield
    print(f"{title}: {time.monotonic() - started:.1f} s", flush=True)
