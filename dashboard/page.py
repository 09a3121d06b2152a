"""One HTML page that needs no server: its charts and its style are in it."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from string import Template

from components.dashboards.model import Dashboard, Panel
from dashboard import chart
from dashboard.prometheus import Series, Window

_TEMPLATE = Path(__file__).with_name("page.html")


def page(
    dashboards: Sequence[Dashboard], window: Window, namespace: str, series_of: Callable[[Panel], Sequence[Series]]
) -> str:
    """The page of all `dashboards`, with what `series_of` tells of each panel."""

    def section(dashboard: Dashboard) -> str:
        rows = "".join(
            f'<h3>{escape(row.title)}</h3><div class="row">'
            + "".join(_panel(panel, series_of(panel), window) for panel in row.panels)
            + "</div>"
            for row in dashboard.rows
        )
        return f'<section id="{dashboard.name}"><h2>{escape(dashboard.title)}</h2>{rows}</section>\n'

    return Template(_TEMPLATE.read_text()).substitute(
        title=escape(f"hotstack in {namespace}"),
        span=f"{_minute(window.start)} to {_minute(window.end)}, UTC",
        links="".join(f'<a href="#{one.name}">{escape(one.title)}</a>' for one in dashboards),
        sections="".join(section(one) for one in dashboards),
    )


def _panel(panel: Panel, series: Sequence[Series], window: Window) -> str:
    if panel.kind == "value":
        series = [one for one in series if one.last is not None]
    if not series:
        content = '<p class="none">No data</p>'
    elif panel.kind == "value":
        content = _values(panel, series)
    else:
        content = chart.lines(series, panel.unit, window) + _legend(panel, series)
    return f'<div class="panel"><h4>{escape(panel.title)}</h4><p>{_prose(panel.description)}</p>{content}</div>\n'


def _prose(text: str) -> str:
    """Text in which backticks stand around what is literal, as in Grafana."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text))


def _values(panel: Panel, series: Sequence[Series]) -> str:
    items = "".join(f"<div><dt>{escape(one.name)}</dt><dd>{_last(one, panel)}</dd></div>" for one in series)
    return f'<dl class="values">{items}</dl>'


def _legend(panel: Panel, series: Sequence[Series]) -> str:
    items = "".join(
        f'<li><i style="background:{color}"></i>{escape(one.name)} <b>{_last(one, panel)}</b></li>'
        for color, one in zip(chart.colors(len(series)), series, strict=True)
    )
    return f'<ul class="legend">{items}</ul>'


def _last(series: Series, panel: Panel) -> str:
    return "" if series.last is None else escape(chart.number(series.last, panel.unit))


def _minute(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M")
