"""HTTP as the checks speak it: bounded in time, by no proxy, and an answer that is no success is a failure."""

from collections.abc import Generator
from contextlib import contextmanager

import httpx2

from checks.outcome import CheckError


@contextmanager
def client(base: str) -> Generator[httpx2.Client, None, None]:
    """A client of the server at the URL `base`, while the block runs."""
    # No proxy of the environment: the cluster is nearer than any.
    with httpx2.Client(base_url=base, timeout=10, trust_env=False) as client:
        yield client


def successful(
    client: httpx2.Client, method: str, path: str, *, content: bytes | None = None, json: object = None
) -> httpx2.Response:
    """The answer to one request.

    Raises:
        CheckError: there was none, or its status is not one of success.
    """
    try:
        response = client.request(method, path, content=content, json=json)
    except httpx2.HTTPError as error:
        raise CheckError(f"{method} {client.base_url.join(path)}: {error}") from None
    if not response.is_success:
        raise CheckError(f"{method} {response.url} answered {response.status_code} {response.text[:200]}")
    return response
