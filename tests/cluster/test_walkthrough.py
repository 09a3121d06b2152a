"""Every check of `make check` against a dev stack that `pulumi up` has just made."""

import pytest

from checks.__main__ import CHECKS, Check, result_line
from checks.stack import Stack


@pytest.mark.parametrize(("name", "check"), CHECKS, ids=[name for name, _ in CHECKS])
def test_the_dev_stack_passes(name: str, check: Check, dev_stack: Stack) -> None:
    line = result_line(name, check, dev_stack)
    print(line)
    assert line.startswith(f"ok {name} ")
