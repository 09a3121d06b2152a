"""Command line: `python -m cluster up|preview|down|status|env|clean|packages`; the Makefile is its user."""

import argparse
import contextlib
import shutil
import sys
from collections.abc import Sequence

from cluster import instance as instances
from cluster import node, packages, paths, stack
from cluster.errors import ClusterError
from cluster.instance import Instance


def _status(instance: Instance) -> int:
    status = node.status(instance)
    for name, pid in status.pids.items():
        print(f"{name:24} {'not running' if pid is None else f'pid {pid}'}")
    for problem in status.problems:
        print(problem)
    print(f"{instance.full_name}: {'not healthy' if status.problems else 'healthy'}")
    return 1 if status.problems else 0


def _clean() -> None:
    """Remove what tests have left of their instances, and everything that was built for any.

    Raises:
        ClusterError: the dev instance still runs on what would be removed.
    """
    if instances.get("dev").folder.exists():
        raise ClusterError("the dev stack still exists: `make down` first")
    for name in instances.NAMES:
        if instances.get(name).folder.exists():
            node.down(instances.get(name))
    shutil.rmtree(paths.cache(), ignore_errors=True)


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
    status = commands.add_parser("status", help="what runs of an embedded cluster; fails if it is not healthy")
    status.add_argument("--instance", choices=instances.NAMES, default="dev")
    commands.add_parser("clean", help="remove everything that was built; refused while the dev stack exists")
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
                stack.down(chosen.stack, instances.get(chosen.instance))
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
    return 0


if __name__ == "__main__":
    sys.exit(main())
