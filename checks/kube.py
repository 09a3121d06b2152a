"""kubectl as functions: one context, one namespace, every call bounded in time."""

import base64
import json
import select
import shlex
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from checks.outcome import CheckError

TIMEOUT = 30.0  # seconds of a call that does not say otherwise
_SHOWN_COMMAND = 100  # characters of a command in an error
Object = dict[str, Any]
"""A Kubernetes object as the API gives it."""


class KubectlError(CheckError):
    """A kubectl call failed; the text names it and ends with the last line of its stderr.

    Attributes:
        output: all that it wrote, stdout first.
    """

    def __init__(self, command: str, reason: str, output: str = "") -> None:
        super().__init__(f"`{command}`: {reason}")
        self.output = output


@dataclass(frozen=True)
class Kube:
    """kubectl on PATH, bound to a kubeconfig context and a namespace.

    Attributes:
        context: name of the context in KUBECONFIG.
        namespace: where calls go that do not name another one.
        secrets: every secret value that was read, so that it can be kept out of what is printed.
    """

    context: str
    namespace: str
    secrets: set[str] = field(default_factory=set)

    def run(self, *arguments: str, stdin: str = "", timeout: float = TIMEOUT) -> str:
        """Run `kubectl ARGUMENTS` and return its stdout.

        Raises:
            KubectlError: it is missing, exited with an error, or took longer than `timeout` seconds.
        """
        shown = _shown(arguments)
        try:
            done = subprocess.run(
                self._argv(arguments), input=stdin, capture_output=True, text=True, timeout=timeout, check=False
            )
        except FileNotFoundError:
            raise _missing(shown) from None
        except subprocess.TimeoutExpired:
            raise KubectlError(shown, f"no end after {timeout:g} s") from None
        if done.returncode != 0:
            raise KubectlError(shown, _last_line(done.stderr, done.returncode), done.stdout + done.stderr)
        return done.stdout

    def get(self, kind: str, name: str, namespace: str | None = None) -> Object:
        """Return one object."""
        return json.loads(self.run("get", kind, name, *_in(namespace), "--output=json"))

    def objects(self, kind: str, selector: str = "", namespace: str | None = None) -> list[Object]:
        """Return the objects of a kind, those that match the label `selector` only."""
        answer = self.run("get", kind, f"--selector={selector}", *_in(namespace), "--output=json")
        return json.loads(answer)["items"]

    def ready_pods(self, selector: str) -> list[Object]:
        """Return the pods that match the label `selector`, serve, and are not going away."""
        return [pod for pod in self.objects("pods", selector) if _serves(pod)]

    @contextmanager
    def temporary(self, *manifests: Object) -> Generator[None, None, None]:
        """Have these objects while the block runs, which begins when the pods among them are ready.

        Raises:
            KubectlError: one of them was refused, or a pod was not ready within a minute.
        """
        names = [f"{manifest['kind'].lower()}/{manifest['metadata']['name']}" for manifest in manifests]
        remove = ("delete", *names, "--ignore-not-found", "--now")
        self.run(*remove, timeout=60)  # of a run that was killed
        try:
            for manifest in manifests:
                self.run("create", "--filename=-", stdin=json.dumps(manifest))
            pods = [name for name in names if name.startswith("pod/")]
            self.run("wait", "--for=condition=Ready", *pods, "--timeout=60s", timeout=70)
            yield
        finally:
            self.run(*remove, timeout=60)

    def secret(self, name: str, key: str) -> str:
        """Return one value of a Secret and remember it as a thing that must not be printed.

        Raises:
            CheckError: the Secret has no such key.
        """
        data = self.get("secret", name).get("data", {})
        if key not in data:
            raise CheckError(f"Secret {name} has no key {key}")
        value = base64.b64decode(data[key]).decode()
        if value.strip():
            self.secrets.add(value.strip())
        return value

    @contextmanager
    def port_forward(self, target: str, port: int, timeout: float = TIMEOUT) -> Generator[int, None, None]:
        """Lead a free port of the loopback to `port` of `pod/NAME` or `svc/NAME`, and yield it while the block runs.

        Raises:
            KubectlError: it did not start within `timeout` seconds.
        """
        arguments = ("port-forward", "--address=127.0.0.1", target, f":{port}")
        shown = _shown(arguments)
        try:
            forwarder = subprocess.Popen(
                self._argv(arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        except FileNotFoundError:
            raise _missing(shown) from None
        with forwarder:
            try:
                yield _forwarded_port(forwarder, shown, timeout)
            finally:
                forwarder.kill()

    def _argv(self, arguments: tuple[str, ...]) -> list[str]:
        return ["kubectl", f"--context={self.context}", f"--namespace={self.namespace}", *arguments]


def _serves(pod: Object) -> bool:
    # A pod that is being deleted stays ready for a while, and takes whatever runs in it along.
    conditions = {condition["type"]: condition["status"] for condition in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


def _forwarded_port(forwarder: subprocess.Popen[str], shown: str, timeout: float) -> int:
    """Read the port from the first line, `Forwarding from 127.0.0.1:40123 -> 6379`."""
    if forwarder.stdout is None or forwarder.stderr is None:
        raise ValueError("the forwarder's output must be piped")
    readable, _, _ = select.select([forwarder.stdout], [], [], timeout)
    if not readable:
        raise KubectlError(shown, f"not ready after {timeout:g} s")
    line = forwarder.stdout.readline()
    if not line:
        raise KubectlError(shown, _last_line(forwarder.stderr.read(), forwarder.wait()))
    return int(line.split(" -> ")[0].rpartition(":")[2])


def _in(namespace: str | None) -> tuple[str, ...]:
    return () if namespace is None else (f"--namespace={namespace}",)


def _shown(arguments: tuple[str, ...]) -> str:
    command = " ".join(shlex.join(("kubectl", *arguments)).split())
    return command if len(command) <= _SHOWN_COMMAND else f"{command[:_SHOWN_COMMAND]}…"


def _missing(shown: str) -> KubectlError:
    return KubectlError(shown, "kubectl is not on PATH: install it (for the embedded cluster, `make check` brings one)")


def _last_line(stderr: str, exit_code: int) -> str:
    lines = stderr.strip().splitlines()
    return lines[-1] if lines else f"exit code {exit_code}"
