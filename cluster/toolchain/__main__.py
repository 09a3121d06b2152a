"""Prints paths of built tools: `python -m cluster.toolchain ensure NAME…`, `python -m cluster.toolchain pulumi`."""

import argparse
import sys

from cluster.errors import ClusterError
from cluster.toolchain import ensure
from cluster.toolchain.pulumi import pulumi
from cluster.toolchain.recipes import TOOLS


def main() -> int:
    """Build what is asked for, print one path a line, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m cluster.toolchain", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("ensure", help="build what is missing, and print where it is")
    build.add_argument("names", nargs="+", metavar="NAME", help=f"one of {', '.join(TOOLS)}")
    commands.add_parser("pulumi", help="print the Pulumi CLI to use: the one on PATH if it fits, or a built one")
    arguments = parser.parse_args()
    try:
        found = ensure(*arguments.names).values() if arguments.command == "ensure" else [pulumi()]
    except ClusterError as error:
        print(error, file=sys.stderr)
        return 1
    print(*found, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
