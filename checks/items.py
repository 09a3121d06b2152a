"""The check of the service's items: a way through the service, the database and the cache."""

import secrets

import httpx2

from checks.cluster import node_address
from checks.outcome import CheckError, NotApplicableError
from checks.stack import Stack


def items(stack: Stack) -> str:
    """An item that is POSTed through the service's port of the node is what GET gives back, then from the cache."""
    port = stack.settings.fastapi.node_port
    if port is None:
        raise NotApplicableError("fastapi.nodePort is not set")
    base = f"http://{node_address(stack)}:{port}"
    name = f"hotstack-check-{secrets.token_hex(8)}"
    try:
        # No proxy of the environment: the cluster is nearer than any.
        with httpx2.Client(base_url=base, timeout=10, trust_env=False) as client:
            created = _successful(client.post("/items", json={"name": name}))
            path = created.headers["Location"]
            first, second = (_successful(client.get(path)) for _ in range(2))
    except httpx2.HTTPError as error:
        raise CheckError(f"{base}/items: {error}") from None
    for answer in (first, second):
        if answer.json() != created.json():
            raise CheckError(f"POST /items made {created.text}, and GET {path} gives {answer.text} back")
    if second.headers.get("X-Cache") != "hit":
        raise CheckError(f"the second GET {path} was not answered from the cache: {second.headers.get('X-Cache')}")
    return f"{path} came back through {base}, the second time from the cache"


def _successful(response: httpx2.Response) -> httpx2.Response:
    if not response.is_success:
        raise CheckError(
            f"{response.request.method} {response.url} answered {response.status_code} {response.text[:200]}"
        )
    return response
