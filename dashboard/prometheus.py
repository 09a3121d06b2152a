"""What Prometheus's API tells about a span of time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import httpx2

from checks.web import successful
from components.dashboards.model import Panel


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time, seen in steps.

    Attributes:
        start: Unix seconds of its first moment.
        end: Unix seconds of its last.
        step: seconds between two moments.
    """

    start: int
    end: int
    step: int

    @property
    def moments(self) -> range:
        """Every moment that has a value."""
        return range(self.start, self.end + 1, self.step)


@dataclass(frozen=True, slots=True)
class Series:
    """A line of a panel.

    Attributes:
        name: what the panel calls it.
        values: one for each moment of the window; `None` where there is none, or nothing that can be drawn.
    """

    name: str
    values: Sequence[float | None]

    @property
    def last(self) -> float | None:
        """The value at the window's last moment: `None` for a series that has ended, such as an alert that cleared."""
        return self.values[-1]

    @property
    def is_empty(self) -> bool:
        """Whether there is no value at all."""
        return all(value is None for value in self.values)


def series_of(
    panel: Panel, client: httpx2.Client, window: Window, *, namespace: str, rate_seconds: int
) -> list[Series]:
    """Ask Prometheus for what a panel shows of `namespace`, and return the series that have a value.

    Raises:
        CheckError: it did not answer, or refused a query; with its own words.
    """
    found = []
    for query in panel.queries:
        for labels, values in query_range(client, query.promql(namespace, rate_seconds), window):
            series = Series(query.series_name(labels), values)
            if not series.is_empty:
                found.append(series)
    return found


def query_range(client: httpx2.Client, promql: str, window: Window) -> list[tuple[dict[str, str], list[float | None]]]:
    """The labels of each series that answers `promql`, and its value at every moment of the window.

    Raises:
        CheckError: as `series_of`.
    """
    asked = urlencode({"query": promql, "start": window.start, "end": window.end, "step": window.step})
    answer = successful(client, "GET", f"/api/v1/query_range?{asked}").json()
    return [(series["metric"], _values(series["values"], window)) for series in answer["data"]["result"]]


def _values(samples: Sequence[tuple[float, str]], window: Window) -> list[float | None]:
    by_moment = {round(moment): float(value) for moment, value in samples}
    return [_drawable(by_moment.get(moment)) for moment in window.moments]


def _drawable(value: float | None) -> float | None:
    # A ratio of nothing to nothing is NaN, and a quantile over the largest bucket is infinite.
    return value if value is not None and math.isfinite(value) else None
