"""Two lines for each long step: what it is, when it starts; and then how many seconds it took."""

import time
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def stage(title: str) -> Generator[None]:
    """Print `title`, and its seconds once the body has succeeded; a body that fails reports for itself."""
    print(f"{title} …", flush=True)
    started = time.monotonic()
    yield
    print(f"{title}: {time.monotonic() - started:.1f} s", flush=True)
