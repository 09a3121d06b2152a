"""How a check ends other than well, and how it waits."""

import time
from collections.abc import Callable


class CheckError(Exception):
    """The stack does not do what the check asks for; the text says what it did instead."""


class NotApplicableError(Exception):
    """The stack's settings leave nothing to check; the text says which."""


def eventually(probe: Callable[[], str | None], seconds: float, pause: float = 0.5) -> None:
    """Call `probe` until it returns `None`; at least once, then every `pause` seconds for at most `seconds`.

    Raises:
        CheckError: time is up; with what `probe` returned last, which says what is still missing.
    """
    deadline = time.monotonic() + seconds
    while (missing := probe()) is not None:
        if time.monotonic() + pause > deadline:
            raise CheckError(f"{missing}, after {seconds:g} s")
        time.sleep(pause)
