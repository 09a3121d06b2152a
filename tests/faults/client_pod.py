"""One pod from the application's image, in which the clients of the fault tests run beside each other."""

import json
import queue
import subprocess
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from checks import service_pod
from checks.client_pod import POSTGRES_LABELS, POSTGRES_LOGIN, manifest
from checks.kube import Kube, Object

NAME = "fault-client"
CLIENTS = Path(__file__).parent / "clients"
Line = dict[str, Any]


class Client:
    """One program of `clients/` at work in the pod; it prints lines of JSON."""

    def __init__(self, kube: Kube, program: str, *arguments: str) -> None:
        argv = ["kubectl", f"--context={kube.context}", f"--namespace={kube.namespace}"]
        argv += ["exec", "--stdin", NAME, "--", "python", f"/clients/{program}.py", *arguments]
        self._shown = " ".join((program, *arguments))
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def line(self, seconds: float) -> Line:
        """The next line that it prints.

        Raises:
            AssertionError: it ended, or printed none within `seconds`.
        """
        try:
            text = self._lines.get(timeout=seconds)
        except queue.Empty:
            raise AssertionError(f"{self._shown}: printed nothing for {seconds:g} s") from None
        assert text, f"{self._shown}: ended with {self._process.wait()}"
        return json.loads(text)

    def stop(self) -> None:
        """Ask it to end: its stdin is over."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def abandon(self) -> None:
        """Leave it to end by itself, and read no more of it."""
        self._process.kill()
        self._process.wait()

    def _read(self) -> None:
        for text in self._process.stdout or ():
            self._lines.put(text)
        self._lines.put("")


@contextmanager
def running(kube: Kube, *programs: tuple[str, ...]) -> Generator[list[Client], None, None]:
    """Start programs with their arguments, all at once; none of them outlives the block by more than its own limit."""
    clients = [Client(kube, *program) for program in programs]
    try:
        yield clients
    finally:
        for client in clients:
            client.abandon()


@contextmanager
def client_pod(kube: Kube) -> Generator[None, None, None]:
    """The pod with the programs of `clients/`, ready, while the block runs."""
    volumes = {"/clients": {"configMap": {"name": NAME}}, **POSTGRES_LOGIN}
    pod = manifest(NAME, service_pod.image(kube), labels=POSTGRES_LABELS, volumes=volumes)
    with kube.temporary(_config_map(), pod):
        yield


def _config_map() -> Object:
    programs = {path.name: path.read_text() for path in sorted(CLIENTS.glob("*.py"))}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}, "data": programs}
