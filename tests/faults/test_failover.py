"""The primary goes away: how long nobody can write, what is lost, and what readers notice."""

import statistics

from checks.kube import Kube
from tests.faults import hot_postgres
from tests.faults.figures import p95, table
from tests.faults.outage import Outages, live_through

MEDIAN_SECONDS = 6.0
P95_SECONDS = 10.0
PGPOOL_ADDS_SECONDS = 2.0
READS_SUCCEED = 0.999
STREAMS_AGAIN_SECONDS = 60.0


def test_a_killed_primary_is_replaced_in_seconds_and_no_acknowledged_row_is_lost(kube: Kube, runs: int) -> None:
    outages = Outages()
    for run in range(runs):
        hot_postgres.wait_until_healthy(kube)
        live_through(kube, run, "kill", lambda primary: hot_postgres.kill(kube, primary), outages)
    report("primary's pod killed", outages)
    through, direct = gaps(outages)
    assert no_row_is_lost(outages)
    assert statistics.median(through) <= MEDIAN_SECONDS
    assert p95(through) <= P95_SECONDS
    assert statistics.median(through) - statistics.median(direct) <= PGPOOL_ADDS_SECONDS
    assert max(outages.back) <= STREAMS_AGAIN_SECONDS
    assert enough_reads_succeeded(outages)


def test_a_switchover_takes_seconds_and_loses_no_acknowledged_row(kube: Kube, runs: int) -> None:
    outages = Outages()
    for run in range(runs):
        hot_postgres.wait_until_healthy(kube)
        hot_postgres.replace_restarted_pods(kube)
        target = hot_postgres.standbys(kube)[run % 2]
        live_through(kube, run, "switch", lambda _, to=target: hot_postgres.switch_over(kube, to), outages)
    report("switchover", outages)
    through, _ = gaps(outages)
    assert no_row_is_lost(outages)
    assert p95(through) <= P95_SECONDS
    assert max(outages.back) <= STREAMS_AGAIN_SECONDS
    assert enough_reads_succeeded(outages)


def gaps(outages: Outages) -> tuple[list[float], list[float]]:
    """Seconds without a write, through Pgpool and directly."""
    return [run.gap for run in outages.pgpool], [run.gap for run in outages.direct]


def no_row_is_lost(outages: Outages) -> bool:
    return sum(run.lost for run in (*outages.pgpool, *outages.direct)) == 0


def enough_reads_succeeded(outages: Outages) -> bool:
    return sum(outages.failed_reads.values()) <= outages.reads * (1 - READS_SUCCEED)


def report(title: str, outages: Outages) -> None:
    """Print the figures of all runs."""
    through, direct = gaps(outages)
    rows = {
        "no write through Pgpool": through,
        "no write directly": direct,
        "old primary streams again": outages.back,
    }
    print(table(title, rows))
    for way, runs in (("through Pgpool", outages.pgpool), ("directly", outages.direct)):
        counts = {key: sum(getattr(run, key) for run in runs) for key in ("acknowledged", "lost", "unknown", "kept")}
        fewest = min(run.acknowledged for run in runs)
        print(
            f"rows {way}: {counts['acknowledged']} acknowledged, at least {fewest} a run, {counts['lost']} lost; "
            f"{counts['unknown']} of unknown outcome, of which {counts['kept']} are stored"
        )
    failed = sum(outages.failed_reads.values())
    print(f"reads: {outages.reads}, {failed} failed ({100 - 100 * failed / outages.reads:.3f} % succeeded)")
    for reason, times in outages.failed_reads.items():
        print(f"  {times} times: {reason}")
