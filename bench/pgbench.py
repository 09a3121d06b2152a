"""pgbench on the running dev stack: directly, through Pgpool-II, and through the operator's own PgBouncer.

All in one run and in turns, as ratios, because these machines are noisy. Everything that it needs is made for it, and
gone afterwards.
"""

import csv
import os
import statistics
import sys
from collections.abc import Mapping, Sequence

import settings
from bench.pgbench_pod import PgBench, pgbench_pod, pooler
from checks.outcome import CheckError
from checks.pgpool_pod import in_use, temporary
from checks.stack import Stack
from cluster import instance, stack
from cluster.errors import ClusterError
from components.postgres import NAME, PORT

ROUNDS = 3
PROTOCOLS = ("simple", "extended", "prepared")
DIRECT, PGPOOL, PGBOUNCER = "directly", "through Pgpool-II", "through PgBouncer"
FEW_ROWS = """
\\set aid random(1, 100)
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
"""


def compare_ways(bench: PgBench, ways: Mapping[str, str]) -> None:
    """Print transactions a second of reads on every way by every protocol, and their ratios to the direct way.

    Args:
        bench: a pod with pgbench.
        ways: `host:port` by what to call it; the first one is what the others are compared with.
    """
    for protocol in PROTOCOLS:
        found: dict[str, list[float]] = {name: [] for name in ways}
        # In turns, so that a slow minute of the machine falls on all.
        for _ in range(ROUNDS):
            for name, way in ways.items():
                found[name].append(bench.run(way, "--select-only", f"--protocol={protocol}"))
        print(line(f"select-only, {protocol}", found))


def line(title: str, found: Mapping[str, Sequence[float]]) -> str:
    """Medians, and ratios to the first: `line("x", {"a": [2.0], "b": [1.0]}) == "x: a 2 tps; b 1 (0.50)"`."""
    (first, values), *others = found.items()
    base = statistics.median(values)
    parts = [f"{first} {base:.0f} tps"]
    for name, values in others:
        parts.append(f"{name} {statistics.median(values):.0f} ({statistics.median(values) / base:.2f})")
    return f"{title}: {'; '.join(parts)}"


def shares(bench: PgBench, pods: Sequence[str]) -> None:
    """Print which share of selects each node answers, by the counters of all pods of Pgpool-II.

    Args:
        bench: a pod with pgbench.
        pods: `host:port` of each pod of Pgpool-II.
    """
    before = selects(bench, pods)
    bench.run("pgpool:9999", "--select-only")
    after = selects(bench, pods)
    counts = {role: after[role] - before.get(role, 0) for role in after}
    total = sum(counts.values())
    print(f"shares of {total} selects: " + ", ".join(f"{role} {100 * n / total:.1f} %" for role, n in counts.items()))


def selects(bench: PgBench, pods: Sequence[str]) -> dict[str, int]:
    """How many selects the nodes of each role have answered, in all pods together."""
    counts: dict[str, int] = {}
    for pod in pods:
        for row in csv.DictReader(bench.psql(pod, "SHOW POOL_NODES").splitlines()):
            counts[row["role"]] = counts.get(row["role"], 0) + int(row["select_cnt"])
    return counts


def compare_caches(bench: PgBench, live: Stack) -> None:
    """Print what the query cache gains where a hundred rows are read again and again."""
    found: dict[str, list[float]] = {}
    for state in ("off", "on"):
        parameters = in_use(live.kube) | {"memory_cache_enabled": state, "memqcache_total_size": str(64 * 2**20)}
        with temporary(live.kube, live.settings.pgpool.configuration, parameters) as address:
            found[f"query cache {state}"] = [bench.run(f"{address}:9999", script=FEW_ROWS) for _ in range(ROUNDS)]
    print(line("a hundred rows, one pod of Pgpool-II", found))


def main() -> int:
    """Print the figures; the status is 2 when there is no dev stack to take them of, 1 when one could not be taken."""
    dev = instance.get("dev")
    if not stack.backend(dev).exists():
        print("bench: there is no dev stack: run `make up` first", file=sys.stderr)
        return 2
    live = Stack.of(settings.from_file("dev"))
    kube = live.kube
    try:
        os.environ |= stack.environment_of(stack.wanted("dev"), dev)
        with pgbench_pod(kube, live.settings.postgres.database) as bench, pooler(kube, dev) as way:
            pods = [f"{pod['status']['podIP']}:9999" for pod in kube.ready_pods("app=pgpool")]
            compare_ways(bench, {DIRECT: f"{NAME}-rw:{PORT}", PGPOOL: "pgpool:9999", PGBOUNCER: way})
            shares(bench, pods)
            compare_caches(bench, live)
    except (CheckError, ClusterError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
