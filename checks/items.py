"""The check of the service's items: a way through the service, the database and the cache."""

import secrets

from checks.cluster import node_address
from checks.outcome import CheckError, NotApplicableError
from checks.stack import Stack
from checks.web import client, successful


def items(stack: Stack) -> str:
    """An item that is POSTed through the service's port of the node is what GET gives back, then from the cache."""
    port = stack.settings.fastapi.node_port
    if port is None:
        raise NotApplicableError("fastapi.nodePort is not set")
    base = f"http://{node_address(stack)}:{port}"
    name = f"hotstack-check-{secrets.token_hex(8)}"
    with client(base) as api:
        created = successful(api, "POST", "/items", json={"name": name})
        path = created.headers["Location"]
        first, second = (successful(api, "GET", path) for _ in range(2))
    for answer in (first, second):
        if answer.json() != created.json():
            raise CheckError(f"POST /items made {created.text}, and GET {path} gives {answer.text} back")
    if second.headers.get("X-Cache") != "hit":
        raise CheckError(f"the second GET {path} was not answered from the cache: {second.headers.get('X-Cache')}")
    return f"{path} came back through {base}, the second time from the cache"
