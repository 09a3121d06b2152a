"""Memory of an instance of the embedded cluster: `python -m bench.cluster_memory [dev|test|drill]`.

It is the sum of the proportional set sizes of everything in the instance's cgroup, so that a page that several
processes share counts once; and by half when another instance runs the same program beside it.
"""

import sys
from collections import Counter
from pathlib import Path

from cluster import addons, api, cgroups, instance, process
from cluster.instance import Instance

LIMIT_GIB = 1.2


def memory_by_program(cgroup: str) -> Counter[str]:
    """Return the proportional set size of every program that runs in `cgroup`, in bytes."""
    sizes: Counter[str] = Counter()
    for pid in cgroups.pids(cgroup):
        sizes[_program(pid)] += _proportional_set_size(pid)
    return sizes


def _program(pid: int) -> str:
    arguments = process.command_line(pid)
    if not arguments:
        return "(ended)"
    name = Path(arguments[0]).name
    return arguments[1] if name == "kubernetes" else name


def _proportional_set_size(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0  # it has ended
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def gib_in_all(which: Instance) -> float:
    """Return what an instance holds, in GiB."""
    return memory_by_program(which.full_name).total() / 2**30


def pods_on_it(which: Instance) -> int:
    """Return how many pods there are besides those of the add-ons, without which no instance is."""
    own = {namespace for namespace, _ in addons.DEPLOYMENTS}
    with api.client(which) as client:
        pods = client.get("/api/v1/pods").raise_for_status().json()["items"]
    return sum(pod["metadata"]["namespace"] not in own for pod in pods)


def main() -> int:
    """Print the figures; the status is 1 when nothing runs, or when an empty instance is over the limit."""
    which = instance.get(sys.argv[1] if len(sys.argv) > 1 else "dev")
    sizes = memory_by_program(which.full_name)
    if not sizes:
        print(f"bench: {which.full_name} does not run: run `make up` first", file=sys.stderr)
        return 1
    for name, size in sizes.most_common():
        print(f"{name:28} {size / 2**20:8.1f} MiB")
    pods, gib = pods_on_it(which), sizes.total() / 2**30
    what = f"with {pods} pods on it" if pods else "with nothing on it"
    print(f"{which.full_name} {what}: {gib:.2f} GiB in all; the limit of {LIMIT_GIB} GiB is for one with nothing on it")
    return 1 if not pods and gib >= LIMIT_GIB else 0


if __name__ == "__main__":
    sys.exit(main())
