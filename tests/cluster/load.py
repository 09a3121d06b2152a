"""Requests over HTTP while something happens, and what became of them."""

import http.client
import threading
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

_CLIENTS = 4
_PAUSE = 0.02  # seconds between two requests of one client: the load must leave the machine room for what happens


@contextmanager
def load(address: str, port: int, path: str) -> Generator[Counter[str], None, None]:
    """Four clients that GET `path` while the block runs, each request on a connection of its own.

    The counter that is yielded fills up with the requests by their outcome: a status, or the kind of an error.
    """
    outcomes: Counter[str] = Counter()
    lock, stop = threading.Lock(), threading.Event()

    def ask() -> None:
        while not stop.wait(_PAUSE):
            outcome = _outcome(address, port, path)
            with lock:
                outcomes[outcome] += 1

    clients = [threading.Thread(target=ask) for _ in range(_CLIENTS)]
    for client in clients:
        client.start()
    try:
        yield outcomes
    finally:
        stop.set()
        for client in clients:
            client.join()


def at_least(outcomes: Counter[str], requests: int, seconds: float) -> None:
    """Wait until there are so many requests, and fail when that takes longer than `seconds`."""
    deadline = time.monotonic() + seconds
    while outcomes.total() < requests:
        assert time.monotonic() < deadline, f"{outcomes.total()} requests in {seconds} s, wanted {requests}"
        time.sleep(0.1)


def _outcome(address: str, port: int, path: str) -> str:
    connection = http.client.HTTPConnection(address, port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        return str(response.status)
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()
