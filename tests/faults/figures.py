"""Figures of several runs as a table that a person can read."""

import math
import statistics
from collections.abc import Mapping, Sequence


def p95(values: Sequence[float]) -> float:
    """The 95th percentile by nearest rank: of 20 values, the second largest; of few, the largest.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values: nothing was measured")
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def table(title: str, rows: Mapping[str, Sequence[float]], unit: str = "s") -> str:
    """Lines of minimum, median, 95th percentile and maximum for each row, with the number of runs."""
    lines = [title, f"{'':32} {'runs':>5} {'min':>8} {'median':>8} {'p95':>8} {'max':>8}"]
    for name, values in rows.items():
        cells = (min(values), statistics.median(values), p95(values), max(values))
        lines.append(f"{name:32} {len(values):>5} " + " ".join(f"{cell:>8.2f}" for cell in cells) + f" {unit}")
    return "\n" + "\n".join(lines)
