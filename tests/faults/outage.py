"""One outage of the primary as clients live through it: writers on both ways, and readers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import time

from checks.kube import Kube
from checks.outcome import eventually
from checks.postgres import current_primary, sql
from tests.faults import hot_postgres
from tests.faults.client_pod import Client, Line, running
from tests.faults.ways import PGPOOL, PRIMARY, READS

ROWS = 1000  # acknowledged, of each writer
CLIENT_SECONDS = 180  # no client runs longer


@dataclass(frozen=True)
class Written:
    """What became of the rows of one writer.

    Attributes:
        gap: seconds by the server's clock from the last acknowledged row of the old timeline to the first of the new.
        acknowledged: how many rows it was told are stored.
        lost: how many of these are not there.
        unknown: how many rows it got no answer for.
        kept: how many of the unknown ones are there.
        errors: what it was told otherwise, and how often.
    """

    gap: float
    acknowledged: int
    lost: int
    unknown: int
    kept: int
    errors: dict[str, int]


@dataclass
class Outages:
    """What several outages had in common.

    Attributes:
        pgpool: what was written through Pgpool, an entry a run.
        direct: what was written on the primary's Service, beside it.
        reads: how many reads were tried on the read-only way.
        failed_reads: how many of them failed, by reason.
        back: seconds from the strike until the old primary came to stream again.
    """

    pgpool: list[Written] = field(default_factory=list)
    direct: list[Written] = field(default_factory=list)
    reads: int = 0
    failed_reads: dict[str, int] = field(default_factory=dict)
    back: list[float] = field(default_factory=list)


def live_through(kube: Kube, run: int, name: str, strike: Callable[[str], None], outages: Outages) -> None:
    """Let `strike` hit the primary while clients are at work, and add what they saw to `outages`.

    Args:
        kube: of a whole stack with the client pod.
        run: number of the run, for the names of its rows.
        name: of the fault, likewise.
        strike: gets the primary's name, and returns at once.
        outages: what earlier runs saw.
    """
    old = current_primary(kube)
    names = [f"{name}-{run}-pgpool", f"{name}-{run}-direct"]
    common = (hot_postgres.database(kube), str(ROWS), str(CLIENT_SECONDS))
    reader = ("reader", "kept", READS, hot_postgres.database(kube), str(CLIENT_SECONDS))
    with running(
        kube,
        ("writer", names[0], PGPOOL, *common),
        ("writer", names[1], PRIMARY, *common),
        reader,
        ("reader", "fresh", *reader[2:]),
    ) as clients:
        for client in clients:
            assert client.line(seconds=60) == {"warm": True}
        struck = time()
        strike(old)
        *writers, kept, fresh = clients
        # Nothing is asked before the writers are through: every question would take from what the failover needs.
        results = [writer.line(CLIENT_SECONDS) for writer in writers]
        eventually(lambda: _not_back(kube, old), hot_postgres.HEALTHY_SECONDS)
        outages.back.append(hot_postgres.streams_since(kube, old) - struck)
        for client in (kept, fresh):
            client.stop()
            _add_reads(outages, client)
    outages.pgpool.append(written(kube, names[0], results[0]))
    outages.direct.append(written(kube, names[1], results[1]))


def _not_back(kube: Kube, old: str) -> str | None:
    if current_primary(kube) == old:
        return f"{old} is still the primary"
    return hot_postgres.not_streaming(kube, [old])


def _add_reads(outages: Outages, reader: Client) -> None:
    result = reader.line(seconds=30)
    outages.reads += result["reads"]
    for reason, times in result["failed"].items():
        outages.failed_reads[reason] = outages.failed_reads.get(reason, 0) + times


def written(kube: Kube, client: str, result: Line) -> Written:
    """Compare what a writer was told with what is stored."""
    assert len(result["timelines"]) == 2, f"{client} saw no failover, or several: {result}"
    rows = stored(kube, client)
    unknown = set(result["unknown"])
    acknowledged = set(range(1, result["attempts"] + 1)) - unknown - set(result["refused"])
    assert len(acknowledged) >= ROWS, f"{client} was given too little time: {len(acknowledged)} of {ROWS} rows"
    old, new = sorted(result["timelines"])
    last = max(at for number, (timeline, at) in rows.items() if timeline == old and number in acknowledged)
    first = min(at for number, (timeline, at) in rows.items() if timeline == new and number in acknowledged)
    return Written(
        gap=first - last,
        acknowledged=len(acknowledged),
        lost=len(acknowledged - set(rows)),
        unknown=len(unknown),
        kept=len(unknown & set(rows)),
        errors=result["errors"],
    )


def stored(kube: Kube, client: str) -> dict[int, tuple[str, float]]:
    """Timeline and time of each row of a client, by its number."""
    statement = f"SELECT number, timeline, extract(epoch FROM at) FROM fault_rows WHERE client = '{client}'"  # noqa: S608 - our own name
    lines = sql(kube, current_primary(kube), statement, hot_postgres.database(kube)).splitlines()
    return {int(number): (timeline, float(at)) for number, timeline, at in (line.split("|") for line in lines)}
