"""Dashboards of a running stack: nothing on them is empty, and no two lines have the same name."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import httpx2
import pytest

from checks import monitoring
from checks.items import items
from checks.outcome import eventually
from checks.stack import Stack
from components.dashboards import DASHBOARDS
from components.dashboards.model import Panel
from dashboard.__main__ import draw
from dashboard.prometheus import Series, Window, series_of

PANELS = [panel for dashboard in DASHBOARDS for panel in dashboard.panels()]
SECONDS = 360  # until the slowest rule has recorded something of a stack that is up and of its first requests
SCRAPE_SECONDS = 15

Ask = Callable[[Panel], list[Series]]


@pytest.fixture(scope="module")
def prometheus(dev_stack: Stack) -> Iterator[httpx2.Client]:
    """The API of the stack's Prometheus, for the whole module: each query would else wait for a way to it."""
    with monitoring.prometheus(dev_stack) as api:
        yield api


@pytest.fixture(scope="module")
def ask(dev_stack: Stack, prometheus: httpx2.Client) -> Ask:
    """What a panel shows of the last two minutes."""

    def ask(panel: Panel) -> list[Series]:
        now = int(time.time())
        window = Window(now - 120, now, SCRAPE_SECONDS)
        namespace = dev_stack.settings.kubernetes.namespace
        return series_of(panel, prometheus, window, namespace=namespace, rate_seconds=4 * SCRAPE_SECONDS)

    return ask


@pytest.fixture(scope="module")
def empty(dev_stack: Stack, ask: Ask) -> list[str]:
    """The queries that still have no data after a while of requests, each behind its panel's title."""
    alone = [replace(panel, queries=(query,)) for panel in PANELS for query in panel.queries]
    deadline = time.monotonic() + SECONDS
    while True:
        items(dev_stack)  # ratios and latencies are of requests: without any, they are of nothing
        found = [f"{one.title}: {one.queries[0].expression}" for one in alone if not ask(one)]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(5)


def test_every_query_of_every_dashboard_returns_data(empty: list[str]) -> None:
    assert empty == []


@pytest.mark.usefixtures("empty")
def test_series_of_a_panel_have_names_that_tell_them_apart(ask: Ask) -> None:
    def alike() -> str | None:
        for panel in PANELS:
            names = Counter(series.name for series in ask(panel) if series.last is not None)
            if wrong := [name for name, count in names.items() if count > 1 or name != name.strip()]:
                return f"{panel.title}: {wrong}"
        return None

    # A pod that another test has replaced may be there at its former address too, for five minutes at most.
    eventually(alike, SECONDS, pause=5)


@pytest.mark.usefixtures("empty")
def test_the_page_of_a_running_stack_has_every_panel(dev_stack: Stack) -> None:
    html = draw(dev_stack.settings, int(time.time()))
    assert html.count('<div class="panel">') == len(PANELS)
    assert "No data" not in html
