"""A pod that is told of the alert of a check, and writes what it hears into its log."""

from checks import client_pod
from checks.kube import Kube, Object
from components.prometheus_config import CHECK_PORT, CHECK_RECEIVER

_LABELS = {"app": CHECK_RECEIVER}
_PROGRAM = f"""
import http.server
class Sink(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        print(self.rfile.read(int(self.headers["Content-Length"])).decode(), flush=True)
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("", {CHECK_PORT}), Sink).serve_forever()
"""


def manifests(image: str) -> list[Object]:
    """The Service that Alertmanager knows, and the pod behind it, from an image that has Python."""
    service: Object = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": CHECK_RECEIVER},
        "spec": {"selector": _LABELS, "ports": [{"port": CHECK_PORT, "targetPort": CHECK_PORT}]},
    }
    command = ("python", "-c", _PROGRAM)
    return [service, client_pod.manifest(CHECK_RECEIVER, image, labels=_LABELS, volumes={}, command=command)]


def unheard(kube: Kube, mark: str) -> str | None:
    """`None` once the pod has heard of an alert with `mark`."""
    if mark in kube.run("logs", CHECK_RECEIVER):
        return None
    return "the test alert has not reached the receiver"
