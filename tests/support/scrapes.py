"""Which series there are: what the parts of a running stack said, and what rules record from it."""

import functools
import re
from pathlib import Path

import yaml

from tests.support.graph import Graph

FOLDER = Path(__file__).parents[1] / "fixtures" / "scrapes"
OF_PROMETHEUS = {"ALERTS", "up", "scrape_duration_seconds", "scrape_samples_post_metric_relabeling"}
"""Series that Prometheus makes itself; no target has them."""


@functools.cache
def metrics(job: str) -> frozenset[str]:
    """The names of all series in the recorded scrape of the part `job`."""
    return frozenset(series for series, _ in _series(job))


@functools.cache
def labels(job: str, metric: str) -> frozenset[str]:
    """The names of all labels of a metric in the recorded scrape of the part `job`."""
    return frozenset(name for series, text in _series(job) if series == metric for name in re.findall(r'(\w+)="', text))


@functools.cache
def _series(job: str) -> list[tuple[str, str]]:
    """The name of each series, and its labels as they are written."""
    return re.findall(r"(?m)^([a-zA-Z_:][\w:]*)(\{.*\})? ", (FOLDER / f"{job}.txt").read_text())


def recorded(graph: Graph) -> frozenset[str]:
    """The names of all series that the rules of a stack record."""
    files = graph.one("ConfigMap", "prometheus-rules").props["data"].values()
    groups = [group for file in files for group in yaml.safe_load(file)["groups"]]
    return frozenset(rule["record"] for group in groups for rule in group["rules"] if "record" in rule)
