"""What a dashboard is made of. Nothing in here knows Grafana's format."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from string import Template
from typing import Literal

_CHOSEN = 'namespace="$namespace", pod=~"$instance"'
_PARTS = ("redis", "postgres", "pgpool", "fastapi")
_SCOPES = {"scope": _CHOSEN} | {part: f'job="{part}", {_CHOSEN}' for part in _PARTS}

Kind = Literal["graph", "value"]
"""A line for each series over time, or only its value now."""

Unit = Literal["short", "percentunit", "s", "bytes", "Bps", "ops"]
"""A number, a ratio of 0 to 1, seconds, bytes, bytes a second, operations a second; by the names that Grafana has."""


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression, and what its series are called.

    Attributes:
        template: the expression, in which `$redis`, `$postgres`, `$pgpool` and `$fastapi` stand for the labels of that
            part's series, and `$scope` for those of any part's: of the chosen namespace and instances.
        legend: a series' name, in which `{{pod}}` stands for the value of its label `pod`.
    """

    template: str
    legend: str

    @property
    def expression(self) -> str:
        """The expression with the variables that Grafana fills in: `$namespace`, `$instance`, `$__rate_interval`."""
        return Template(self.template).safe_substitute(_SCOPES)

    def promql(self, namespace: str, rate_seconds: int) -> str:
        """The expression for all instances in `namespace`, with rates over `rate_seconds`: plain PromQL."""
        values = {"namespace": namespace, "instance": ".*", "__rate_interval": f"{rate_seconds}s"}
        return Template(self.expression).substitute(values)

    def series_name(self, labels: Mapping[str, str]) -> str:
        """What a series with these labels is called."""
        return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), self.legend)


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One question about the stack, and the queries that answer it.

    Attributes:
        title: a few words.
        description: what a reader should make of it.
        unit: of all its series.
        queries: at least one.
        kind: how it is drawn.
    """

    title: str
    description: str
    unit: Unit
    queries: tuple[Query, ...]
    kind: Kind = "graph"


@dataclass(frozen=True, slots=True)
class Row:
    """Panels about the same thing, under a heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Dashboard:
    """Rows of panels about one part of the stack, or about all of it.

    Attributes:
        name: unique, for file names and addresses.
        title: what people see.
        job: the part whose pods can be chosen as `instance`; `None` for those of every part.
        rows: from what is looked at first to what is looked at last.
    """

    name: str
    title: str
    job: str | None
    rows: tuple[Row, ...]

    def panels(self) -> Iterator[Panel]:
        """All panels, from top to bottom."""
        for row in self.rows:
            yield from row.panels
