"""Each stack declares what its golden says."""

import difflib

import pytest

from tests.golden.record import golden, path
from tests.support.program import STACKS, attempt, build


@pytest.mark.parametrize("stack", STACKS)
def test_a_stack_declares_what_was_recorded_and_reviewed(stack: str) -> None:
    recorded = path(stack).read_text().splitlines()
    declared = golden(build(stack)).splitlines()
    difference = list(difflib.unified_diff(recorded, declared, "recorded", "declared", lineterm=""))
    if difference:
        pytest.fail(
            f"{stack} declares something else than {path(stack).name}; if that is meant, run `make golden` "
            f"(python -m tests.golden.record) and commit it:\n" + "\n".join(difference),
            pytrace=False,
        )


@pytest.mark.parametrize("stack", STACKS)
def test_a_golden_holds_no_secret_and_no_tag_of_a_built_image(stack: str) -> None:
    graph = build(stack)
    text = golden(graph)
    assert text.count("[secret]") == sum(len(secret.secrets) for secret in graph.all("Secret")) > 0
    assert not any(password in text for password in graph.passwords())
    built = [image for image in graph.images() if image.startswith("hotstack/")]
    assert len(built) == (10 if stack == "dev" else 0)
    assert not any(image in text for image in built)


def test_two_runs_of_a_stack_have_the_same_golden() -> None:
    assert golden(attempt("prod").graph) == golden(build("prod"))
