"""What the tests do to Redis."""

from collections.abc import Generator
from contextlib import contextmanager

from checks.kube import Kube


@contextmanager
def redis_scaled_away(kube: Kube) -> Generator[None, None, None]:
    """No primary while the block runs."""
    kube.run("scale", "statefulset/redis", "--replicas=0")
    try:
        kube.run("wait", "--for=delete", "pod/redis-0", "--timeout=90s", timeout=100)
        yield
    finally:
        kube.run("scale", "statefulset/redis", "--replicas=1")
