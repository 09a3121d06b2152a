"""Checks of the FastAPI service, from the host."""

import hashlib
import json
import secrets

import httpx2

from checks import service_pod
from checks.cluster import node_address
from checks.outcome import CheckError, NotApplicableError
from checks.stack import Stack
from checks.web import client, successful
from components.fastapi_app import PORT, FastApiIngress

NODE_PORT_REQUESTS = 50  # with two pods, one that serves is missed by chance once in 2^50 times
ANSWERED_BY = {"APP_NAME": "name", "GREETING": "greeting"}
"""Keys of `fastapi-config`, and where `GET /` shows their values."""


def node_port(stack: Stack) -> str:
    """`GET /` on the service's port of the node is answered by every pod, over some requests."""
    port = stack.settings.fastapi.node_port
    if port is None:
        raise NotApplicableError("fastapi.nodePort is not set")
    address = node_address(stack)
    silent = {pod["metadata"]["name"] for pod in stack.kube.ready_pods(service_pod.SELECTOR)}
    pods = len(silent)
    if pods != stack.settings.fastapi.replicas:
        raise CheckError(f"expected {stack.settings.fastapi.replicas} ready pods, there are {pods}")
    for request in range(1, NODE_PORT_REQUESTS + 1):
        # A connection a request: the node balances connections.
        with client(f"http://{address}:{port}") as api:
            silent.discard(_json(successful(api, "GET", "/"))["pod"])
        if not silent:
            return f"{pods} pods answered within {request} requests to {address}:{port}"
    raise CheckError(f"no answer of {', '.join(sorted(silent))} in {NODE_PORT_REQUESTS} requests to {address}:{port}")


def config(stack: Stack) -> str:
    """The service has what its ConfigMap and its Secret say, and shows the Secret's value nowhere."""
    kube = stack.kube
    values = kube.get("configmap", "fastapi-config").get("data", {})
    token = kube.secret("fastapi-secret", "API_TOKEN")
    pod = service_pod.name(kube)
    # By a forwarded port, which every stack has, whatever leads to it from outside.
    with kube.port_forward(f"pod/{pod}", PORT) as port, client(f"http://127.0.0.1:{port}") as api:
        response = successful(api, "GET", "/")
    answer = _json(response)
    shown = {key: field for key, field in ANSWERED_BY.items() if key in values}
    for key, field in shown.items():
        if answer.get(field) != values[key]:
            raise CheckError(f"{key} of fastapi-config is {values[key]!r}, and `GET /` answers {answer.get(field)!r}")
    if answer.get("secret_configured") is not True:
        raise CheckError("`GET /` does not report the secret as set")
    mounted = kube.run("exec", pod, "--", "sh", "-c", 'sha256sum <"$API_TOKEN_FILE"')
    if mounted.split()[0] != hashlib.sha256(token.encode()).hexdigest():
        raise CheckError("the pod's API_TOKEN_FILE does not hold the value of fastapi-secret")
    places = {
        "the answer of `GET /`": response.text + str(response.headers),
        "`kubectl describe`": kube.run("describe", "deployments,pods,configmaps,secrets", "--selector=app=fastapi"),
        "the objects' specs": kube.run("get", "deployments,pods,configmaps", "--selector=app=fastapi", "--output=json"),
    }
    for place, text in places.items():
        if token in text:
            raise CheckError(f"the value of fastapi-secret is in {place}")
    return f"{' and '.join(shown) or 'no value'} of fastapi-config answered, the secret is set and not shown"


def ingress_cache(stack: Stack) -> str:
    """What is PUT to `/cache/…` through the ingress controller is what GET gives back."""
    ingress = stack.settings.fastapi.ingress
    if ingress is None:
        raise NotApplicableError("fastapi.ingress is not set")
    base = _ingress_url(stack, ingress)
    path, value = f"/cache/check-{secrets.token_hex(8)}", secrets.token_bytes(64)
    with client(base) as api:
        successful(api, "PUT", path, content=value)
        try:
            given_back = successful(api, "GET", path).content
        finally:
            api.delete(path)
    if given_back != value:
        raise CheckError(f"PUT {len(value)} bytes to {base}{path}, and GET gives {len(given_back)} others back")
    return f"{len(value)} bytes came back through {base}"


def _ingress_url(stack: Stack, ingress: FastApiIngress) -> str:
    """Where the ingress controller listens: the host's name, its Service's NodePort, or the Ingress' own address."""
    if ingress.host is not None:
        return f"{'http' if ingress.tls_secret_name is None else 'https'}://{ingress.host}"
    for service in stack.kube.objects("services", namespace=ingress.controller_namespace):
        for port in service["spec"].get("ports", []):
            if service["spec"]["type"] == "NodePort" and port["port"] == 80:
                return f"http://{node_address(stack)}:{port['nodePort']}"
    status = stack.kube.get("ingress", "fastapi-ingress")["status"].get("loadBalancer", {})
    for address in status.get("ingress", []):
        return f"http://{address.get('ip') or address['hostname']}"
    raise CheckError("the ingress controller has no NodePort for port 80, and fastapi-ingress no address")


def _json(response: httpx2.Response) -> dict[str, object]:
    try:
        return json.loads(response.text)
    except ValueError:
        raise CheckError(f"GET {response.url} answered no JSON: {response.text[:200]}") from None
