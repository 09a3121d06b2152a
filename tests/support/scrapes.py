"""What the parts of a running stack said when their metrics were recorded: `tests/fixtures/scrapes/`."""

import functools
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

FOLDER = Path(__file__).parents[1] / "fixtures" / "scrapes"
OF_PROMETHEUS = {"ALERTS", "up", "scrape_duration_seconds", "scrape_samples_post_metric_relabeling"}
"""Series that Prometheus makes itself; no target has them."""


@functools.cache
def metrics(job: str) -> frozenset[str]:
    """The names of all series that the part `job` had."""
    text = (FOLDER / f"{job}.txt").read_text()
    return frozenset(sample.name for family in text_string_to_metric_families(text) for sample in family.samples)
