"""Memory of an instance of the embedded cluster: `python -m bench.cluster_memory [dev|test]`.

It is the sum of the proportional set sizes of everything in the instance's cgroup, so that a page that several
processes share counts once.
"""

import sys
from collections import Counter
from pathlib import Path

from cluster import cgroups, instance, process

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


def main() -> int:
    """Print the figures; return the exit status."""
    which = instance.get(sys.argv[1] if len(sys.argv) > 1 else "dev")
    sizes = memory_by_program(which.full_name)
    for name, size in sizes.most_common():
        print(f"{name:28} {size / 2**20:8.1f} MiB")
    gib = sizes.total() / 2**30
    print(f"{which.full_name}: {gib:.2f} GiB in all, where an empty one is to hold under {LIMIT_GIB} GiB")
    return 0 if sizes else 1


if __name__ == "__main__":
    sys.exit(main())
