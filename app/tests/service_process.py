"""The service as the image starts it: a uvicorn process of its own."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from http.client import HTTPResponse
from pathlib import Path

APP = Path(__file__).parents[1]
DOCKERFILE = APP.parent / "images/fastapi/Dockerfile"
START_SECONDS = 15
LOG_SECONDS = 5


def image_command() -> list[str]:
    """Return the command of the image, but on a loopback port that the kernel picks."""
    found = re.search(r"^CMD (\[.*?\])", DOCKERFILE.read_text().replace("\\\n", ""), re.MULTILINE)
    if found is None:
        raise ValueError(f"{DOCKERFILE} has no CMD with a JSON array")
    program, *arguments = json.loads(found[1])
    arguments[arguments.index("--host") + 1] = "127.0.0.1"
    arguments[arguments.index("--port") + 1] = "0"
    return [sys.executable, "-m", program, *arguments]


def read_answer(connection: socket.socket) -> tuple[int, bytes]:
    """Return status and body of the HTTP answer that arrives on a raw connection."""
    with HTTPResponse(connection) as answer:
        answer.begin()
        return answer.status, answer.read()


def run_to_end(environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the service with settings that are expected to end it at once."""
    return subprocess.run(
        image_command(), cwd=APP, env=environment_of(environment), capture_output=True, text=True, timeout=START_SECONDS
    )


class ServiceProcess:
    """A running service. Its standard output and error are in one file."""

    def __init__(self, output: Path, environment: Mapping[str, str]) -> None:
        self._output = output
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                image_command(), cwd=APP, env=environment_of(environment), stdout=file, stderr=subprocess.STDOUT
            )
        self.port = self._wait_for_port()

    @property
    def url(self) -> str:
        """The service's base address."""
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> str:
        """Return everything that the process has printed."""
        return self._output.read_text()

    def wait_for_log(self, text: str) -> None:
        """Return once the log holds a text, since a request's line is written after its answer."""
        deadline = time.monotonic() + LOG_SECONDS
        while text not in self.log():
            if time.monotonic() > deadline:
                raise AssertionError(f"no {text!r} in the log after {LOG_SECONDS} s:\n{self.log()}")
            time.sleep(0.02)

    def connect(self) -> socket.socket:
        """Return a raw connection, for requests that an HTTP client would not send."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=5)

    def stop(self) -> None:
        """End the process, if it runs."""
        self.process.kill()
        self.process.wait(timeout=5)

    def _wait_for_port(self) -> int:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            if found := re.search(r"running on http://127\.0\.0\.1:(\d+)", self.log()):
                return int(found[1])
            time.sleep(0.02)
        self.stop()
        raise RuntimeError(f"the service did not start:\n{self.log()}")


def environment_of(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of a process that is to have these settings and no other."""
    return {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **environment}
