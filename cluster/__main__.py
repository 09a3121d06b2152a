"""Command line: `python -m cluster up|preview|down|status|env|clean|packages`; the Makefile is its user."""

import argparse
import contextlib
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from cluster import instance as instances
from cluster import node, packages, paths, stack
from cluster.errors import ClusterError
from cluster.instance import Instance

_CACHED = ("images", "pulumi-home", "toolchain")  # all that the project keeps in its cache


def _status(instance: Instance) -> int:
    status = node.status(instance)
    for name, pid in status.pids.items():
        print(f"{name:24} {'not running' if pid is None else f'pid {pid}'}")
    for problem in status.problems:
        print(problem)
    print(f"{instance.full_name}: {'not healthy' if status.problems else 'healthy'}")
    return 1 if status.problems else 0


def _clean() -> None:
    """Take down every instance that there is, and remove everything that was built for any.

    Raises:
        ClusterError: an instance could not be taken down; what it runs on is still there then.
    """
    dev = instances.get("dev")
    if dev.folder.exists():
        if not stack.wanted("dev").embedded:
            raise ClusterError("an embedded cluster still exists: run `make down STACK=…` of the stack on it first")
        stack.down("dev", dev)
    for name in instances.NAMES:
        if instances.get(name).folder.exists():
            node.down(instances.get(name))
    # The folder itself may be a whole disk that the user pointed us to.
    for folder in filter(Path.exists, map(paths.cache().joinpath, _CACHED)):
        shutil.rmtree(folder)
    with contextlib.suppress(OSError):
        paths.cache().rmdir()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in {
        "up": "make a stack live, with all it needs",
        "preview": "show what `up` would change",
        "down": "destroy a stack, and stop its cluster if that is the embedded one",
        "env": "`export` lines that let kubectl and pulumi work on a stack by hand",
    }.items():
        command = commands.add_parser(name, help=text)
        command.add_argument("--stack", default="dev")
        command.add_argument("--instance", choices=instances.NAMES, default="dev", help="the embedded cluster to use")
        if name == "down":
            command.add_argument("--yes", action="store_true", help="destroy a stack on a cluster that is not embedded")
    status = commands.add_parser("status", help="what runs of an embedded cluster; fails if it is not healthy")
    status.add_argument("--instance", choices=instances.NAMES, default="dev")
    commands.add_parser("clean", help="take the embedded cluster down, and remove everything that was built")
    commands.add_parser("packages", help="install the Debian packages of the tests that are missing")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    chosen = _parser().parse_args(arguments)
    try:
        match chosen.command:
            case "up":
                stack.up(chosen.stack, instances.get(chosen.instance))
            case "preview":
                stack.preview(chosen.stack, instances.get(chosen.instance))
            case "down":
                stack.down(chosen.stack, instances.get(chosen.instance), confirmed=chosen.yes)
            case "env":
                # A shell evaluates what comes out, so what is said on the way must not be in it.
                with contextlib.redirect_stdout(sys.stderr):
                    lines = stack.export_lines(chosen.stack, instances.get(chosen.instance))
                print(lines)
            case "status":
                return _status(instances.get(chosen.instance))
            case "clean":
                _clean()
            case "packages":
                packages.install_missing(packages.FOR_TESTS)
    except ClusterError as error:
        print(error, file=sys.stderr)
        return 1
    except PermissionError as error:
        print(
            f"no permission for {error.filename}: run this as whoever ran `make up` (root, for the embedded cluster)",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
