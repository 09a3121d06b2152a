"""Runs Pulumi programs under the recording monitor: `build` the project's own, `run` any other."""

import asyncio
import contextvars
import functools
import json
import runpy
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pulumi
import yaml
from pulumi.runtime.proto import engine_pb2, source_pb2

from tests.support.graph import Graph
from tests.support.monitor import RecordingMonitor, RefusedError

ROOT = Path(__file__).parents[2]
PROJECT = "hotstack"
STACKS = ("dev", "staging", "prod")
STAND_IN_RELEASE = "tests/support/operator.yaml"

Overrides = Mapping[str, Any]
"""Settings to merge into a stack file's: `{"redis": {"replicas": 3}}`; `None` takes a key away."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a run ended: what it had registered by then, and the error that ended it, if any."""

    graph: Graph
    error: Exception | None


def build(stack: str = "dev", overrides: Overrides | None = None) -> Graph:
    """The graph of the project's own `__main__.py` with its own stack file.

    There is one run per process for the same settings: a graph is a value that nobody changes.

    Raises:
        Exception: whatever the program raised, or a `RefusedError` of the monitor.
    """
    return _build(stack, tuple(config(stack, overrides).items()))


@functools.cache
def _build(stack: str, config: tuple[tuple[str, str], ...]) -> Graph:
    outcome = _run_program(stack, dict(config))
    if outcome.error is not None:
        raise outcome.error
    return outcome.graph


def attempt(stack: str = "dev", overrides: Overrides | None = None) -> Outcome:
    """As `build`, for runs that are expected to fail; each is a new one."""
    return _run_program(stack, config(stack, overrides))


def _run_program(stack: str, config: Mapping[str, str]) -> Outcome:
    return run(lambda: runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__"), stack, config)


def config(stack: str, overrides: Overrides | None = None) -> dict[str, str]:
    """The config of a stack as the engine hands it to a program: flat keys, everything but text as JSON."""
    values = stack_file(stack, overrides)
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}


def stack_file(stack: str, overrides: Overrides | None) -> dict[str, Any]:
    """The `config` of a stack file with `overrides` merged in; empty when there is no such file.

    The release of an operator, which is built or downloaded, is a stand-in of a few small objects.
    """
    return merge(_file(stack), {f"{PROJECT}:{key}": value for key, value in (overrides or {}).items()})


@functools.cache
def _file(stack: str) -> dict[str, Any]:
    path = ROOT / f"Pulumi.{stack}.yaml"
    values = yaml.safe_load(path.read_text())["config"] if path.exists() else {}
    operator = values.get(f"{PROJECT}:postgres", {}).get("cloudnativePg", {}).get("operator", {})
    if "manifest" in operator:
        operator["manifest"] = STAND_IN_RELEASE
    return values


def merge(values: Mapping[str, Any], overrides: Overrides) -> dict[str, Any]:
    """`values` with `overrides` merged in, objects key by key; an override of `None` deletes."""
    result = dict(values)
    for key, override in overrides.items():
        if override is None:
            result.pop(key, None)
        elif isinstance(override, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merge(result[key], override)
        else:
            result[key] = override
    return result


def run(program: Callable[[], object], stack: str = "dev", config: Mapping[str, str] | None = None) -> Outcome:
    """Run `program` to its very end: every registration has arrived, every `apply` has run.

    All that the SDK keeps between calls is kept in context variables and in the event loop. Each run has its own of
    both, so that nothing is left of it afterwards.
    """
    monitor = RecordingMonitor(PROJECT, stack)
    error = contextvars.Context().run(_run, program, monitor, stack, config or {})
    return Outcome(graph=monitor.graph(), error=error)


def _run(
    program: Callable[[], object], monitor: RecordingMonitor, stack: str, config: Mapping[str, str]
) -> Exception | None:
    settings = pulumi.runtime.Settings(
        project=PROJECT,
        stack=stack,
        monitor=monitor,
        engine=_Engine(),
        parallel=8,
        dry_run=False,
        organization="organization",
        root_directory=str(ROOT),
    )
    settings.callbacks = monitor
    pulumi.runtime.configure(settings)
    pulumi.runtime.set_all_config(dict(config), [])

    def main() -> None:
        program()

    async def in_stack() -> None:
        # Of a run that fails, some outputs are never awaited; asyncio would write each of them into the test's output.
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        await pulumi.runtime.run_in_stack(main)

    try:
        with _no_children_after_outputs(), _no_source_positions():
            asyncio.run(in_stack())
        monitor.check_complete()
    except Exception as error:
        return error
    return None


@contextmanager
def _no_children_after_outputs() -> Generator[None]:
    """Refuse a child that a component gets after `register_outputs`.

    The monitor cannot see this: registrations reach it in the order in which their inputs become known.
    """
    original = pulumi.ComponentResource.register_outputs
    children: dict[pulumi.ComponentResource, int] = {}

    def register_outputs(self: pulumi.ComponentResource, outputs: pulumi.Inputs) -> None:
        children[self] = len(self._childResources)
        original(self, outputs)

    with mock.patch.object(pulumi.ComponentResource, "register_outputs", register_outputs):
        yield
    for component, count in children.items():
        if len(component._childResources) > count:
            raise RefusedError(f"{component._type} {component._name} got a child after its register_outputs")


def _no_source_positions() -> AbstractContextManager[object]:
    """Tell the monitor no stack trace with each resource: it keeps none, and they are an eighth of a run."""
    return mock.patch("pulumi.runtime.resource._get_stack_trace", source_pb2.StackTrace)


class _Engine:
    """The engine's log: what a user would read is kept by pytest, the SDK's own tracing is not."""

    def Log(self, request: engine_pb2.LogRequest) -> None:  # noqa: N802 - the protocol's name
        if request.severity != engine_pb2.DEBUG:
            print(request.message)
