"""Rules of Prometheus for a stack: the files of `rules/` for its namespace, and what only its settings can say.

The files are whole and valid as they are, for a stack in the namespace `demo` with monitoring in `monitoring`. What
they compare with, such as how many pods there should be, is recorded as `hotstack:…:expected`: numbers of a stack are
data, so that one file serves all stacks, and what is absent can be missed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from components import slo
from components.prometheus_config import scrape_timeout
from components.slo import Slo

FILES = Path(__file__).parent / "rules"
RUNBOOKS = "docs/runbooks"
_SLACK_HOURS = 2  # that a backup may take, and be noticed

Rule = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Postgres:
    """What CloudNativePG's cluster should be.

    Attributes:
        standbys: that should follow the primary.
        data_bytes: size of the volume of data.
        wal_bytes: size of the volume of the write-ahead log; `None` when it lies on the one of data.
        backup_schedule: six fields, seconds first; `None` without backups.
    """

    standbys: int
    data_bytes: int
    wal_bytes: int | None
    backup_schedule: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Watched:
    """The stack that the rules are about.

    Attributes:
        namespace: of the stack.
        monitoring_namespace: of its Prometheus.
        pods: how many should be scraped, by namespace and job.
        redis_replicas: that should follow the primary.
        postgres: `None` for an engine whose metrics have other names.
        pgpool_children: clients that one pod of Pgpool-II can serve.
        slo: objectives of the service.
        interval_seconds: how often series are read.
        own_prometheus: whether Prometheus and Alertmanager are the stack's own to look after.
        recorded: by job, what series of other names are recorded as: PromQL by name.
    """

    namespace: str
    monitoring_namespace: str
    pods: Mapping[tuple[str, str], int]
    redis_replicas: int
    postgres: Postgres | None
    pgpool_children: int
    slo: Slo
    interval_seconds: int
    own_prometheus: bool
    recorded: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def groups(stack: Watched) -> list[dict[str, Any]]:
    """All groups of rules, in Prometheus' own format; their names are unique, and fit to be names of files."""
    names = ["targets", "redis", "pgpool", "fastapi"]
    if stack.postgres is not None:
        names.append("postgres")
    if stack.own_prometheus:
        names.append("prometheus")
    result: list[dict[str, Any]] = [{"name": "expected", "rules": list(_expected(stack))}]
    for name in names:
        # What an alert needs recorded comes before it in its own group: elsewhere it would be an interval late.
        recorded = [{"record": series, "expr": expr} for series, expr in stack.recorded.get(name, {}).items()]
        result.append({"name": name, "rules": recorded + _rules_of(name, stack)})
    result += slo.groups(stack.slo, stack.namespace, stack.interval_seconds)
    for group in result:
        for rule in group["rules"]:
            if "alert" in rule:
                rule["annotations"]["runbook_url"] = f"{RUNBOOKS}/{rule['alert']}.md"
    return result


def _rules_of(name: str, stack: Watched) -> list[Rule]:
    text = (FILES / f"{name}.yaml").read_text()
    text = text.replace('namespace="monitoring"', f'namespace="{stack.monitoring_namespace}"')
    text = text.replace('namespace="demo"', f'namespace="{stack.namespace}"')
    [group] = yaml.load(text, Loader=yaml.CSafeLoader)["groups"]
    return group["rules"]


def _expected(stack: Watched) -> Iterator[Rule]:
    """What the stack should have, as series; and how full volumes are, whose sizes only the settings know."""
    for (namespace, job), count in stack.pods.items():
        yield _number("hotstack:pods:expected", count, namespace, job)
    # What is there was read an interval ago at most, if its target took all the time that it has.
    oldest = stack.interval_seconds + scrape_timeout(stack.interval_seconds)
    yield {
        "record": "hotstack:scrape_age_seconds:limit",
        "expr": f"vector({oldest})",
        "labels": {"namespace": stack.namespace},
    }
    yield _number("hotstack:redis_replicas:expected", stack.redis_replicas, stack.namespace, "redis")
    yield _number("hotstack:pgpool_children:expected", stack.pgpool_children, stack.namespace, "pgpool")
    postgres = stack.postgres
    if postgres is None:
        return
    yield _number("hotstack:postgres_standbys:expected", postgres.standbys, stack.namespace, "postgres")
    if postgres.backup_schedule is not None:
        most = longest_gap_hours(postgres.backup_schedule) + _SLACK_HOURS
        yield _number("hotstack:postgres_backup_age_seconds:limit", most * 3600, stack.namespace, "postgres")
    where = f'namespace="{stack.namespace}", job="postgres"'
    data = f"sum by (namespace, job, pod, instance) (cnpg_pg_database_size_bytes{{{where}}})"
    wal = f'sum by (namespace, job, pod, instance) (cnpg_collector_pg_wal{{{where}, value="size"}})'
    if postgres.wal_bytes is None:
        yield _volume("data", f"({data} + {wal}) / {postgres.data_bytes}")
    else:
        yield _volume("data", f"{data} / {postgres.data_bytes}")
        yield _volume("wal", f"{wal} / {postgres.wal_bytes}")


def _number(name: str, value: int, namespace: str, job: str) -> Rule:
    return {"record": name, "expr": f"vector({value})", "labels": {"namespace": namespace, "job": job}}


def _volume(volume: str, ratio: str) -> Rule:
    return {"record": "hotstack:postgres_volume:used_ratio", "expr": ratio, "labels": {"volume": volume}}


def longest_gap_hours(schedule: str) -> int:
    """Hours that no two runs of a schedule lie further apart, by which of its fields say that not every day has one.

    `longest_gap_hours("0 0 2 * * *") == 24`

    Args:
        schedule: six fields, seconds first.
    """
    day_of_month, month, day_of_week = schedule.split()[3:]
    if month not in ("*", "?"):
        return 366 * 24
    if day_of_month not in ("*", "?"):
        return 62 * 24  # the 31st is not in every month
    return 24 if day_of_week in ("*", "?") else 7 * 24
