"""Command line of the embedded cluster: `python -m cluster up|down|status|kubeconfig [--instance dev|test]`."""

import argparse
import sys

from cluster import instance as instances
from cluster import node
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


def main() -> int:
    """Run one command; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m cluster", description="The embedded one-node Kubernetes.")
    parser.add_argument("command", choices=("up", "down", "status", "kubeconfig"))
    parser.add_argument("--instance", choices=instances.NAMES, default="dev")
    arguments = parser.parse_args()
    instance = instances.get(arguments.instance)
    try:
        match arguments.command:
            case "up":
                print(node.up(instance))
            case "down":
                node.down(instance)
            case "kubeconfig":
                print(instance.kubeconfig)
            case "status":
                return _status(instance)
    except ClusterError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
