"""Lines as SVG, and numbers as people read them."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import cycle, islice
from xml.etree.ElementTree import Element

import pygal
from pygal.style import Style

from components.dashboards.model import Unit
from dashboard.prometheus import Series, Window

# Told apart by people who see fewer colours, too.
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f3c8d", "#555555")
_LABELS = 6  # along the time
_LEVELS = 5  # of values, at most

_DECIMAL = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1, ""))
_BINARY = ((2**30, " GiB"), (2**20, " MiB"), (2**10, " KiB"), (1, " B"))
_SECONDS = ((86400, " d"), (3600, " h"), (60, " min"), (1, " s"), (1e-3, " ms"), (1e-6, " µs"))
_STEPS: dict[Unit, tuple[Sequence[tuple[float, str]], str]] = {
    "short": (_DECIMAL, ""),
    "ops": (_DECIMAL, "/s"),
    "percentunit": (((0.01, " %"),), ""),
    "bytes": (_BINARY, ""),
    "Bps": (_BINARY, "/s"),
    "s": (_SECONDS, ""),
}


def number(value: float, unit: Unit) -> str:
    """A value with its unit: `number(1536, "bytes") == "1.5 KiB"`."""
    size, name = _scale(value, unit)
    return f"{value / size:.4g}{name}{_STEPS[unit][1]}"


def _scale(value: float, unit: Unit) -> tuple[float, str]:
    """The size and the name of the largest step that is not over the value."""
    steps, _ = _STEPS[unit]
    if value == 0:
        return min(steps, key=lambda step: abs(step[0] - 1))
    return next((step for step in steps if abs(value) >= step[0]), steps[-1])


def colors(count: int) -> list[str]:
    """A colour for each of `count` series, in their order."""
    return list(islice(cycle(_COLORS), count))


def lines(series: Sequence[Series], unit: Unit, window: Window) -> str:
    """The series over the window, as the text of an SVG element that refers to nothing outside of it."""
    levels = _levels(max(value for one in series for value in one.values if value is not None), unit)
    chart = pygal.DateTimeLine(
        width=560,
        height=210,
        margin=4,
        margin_right=20,  # half of a label
        show_legend=False,
        show_dots=False,
        allow_interruptions=True,
        js=(),
        disable_xml_declaration=True,
        range=(0, levels[-1]),
        y_labels=levels,
        xrange=(window.start, window.end),
        x_labels=[_time(moment) for moment in _ticks(window)],
        x_value_formatter=lambda moment: moment.strftime("%H:%M"),
        value_formatter=lambda value: number(value, unit),
        style=_style(len(series)),
    )
    chart.add_xml_filter(_without_scripts)
    moments = [_time(moment) for moment in window.moments]
    for one in series:
        chart.add(one.name, list(zip(moments, one.values, strict=True)))
    return chart.render(is_unicode=True)


def _without_scripts(svg: Element) -> Element:
    # They would only be read by a script that pygal's users load from a server.
    for parent in svg.iter():
        for script in parent.findall("script"):
            parent.remove(script)
    return svg


def _time(moment: float) -> datetime:
    return datetime.fromtimestamp(moment, UTC)


def _ticks(window: Window) -> range:
    pause = (window.end - window.start) // _LABELS
    return range(-(-window.start // pause) * pause, window.end + 1, pause)


def _levels(top: float, unit: Unit) -> list[float]:
    """Round values from 0 to one that is not under `top`, in a few steps."""
    if top <= 0:
        return [0, 1]
    size, _ = _scale(top, unit)
    least = top / size / _LEVELS
    power = 10 ** math.floor(math.log10(least))
    pause = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= least)
    return [size * pause * count for count in range(math.ceil(top / size / pause) + 1)]


def _style(series: int) -> Style:
    return Style(
        background="transparent",
        plot_background="transparent",
        font_family="sans-serif",
        label_font_size=11,
        major_label_font_size=11,
        guide_stroke_color="#ddd",
        major_guide_stroke_color="#ddd",
        guide_stroke_dasharray="none",
        major_guide_stroke_dasharray="none",
        stroke_width="1.5",
        colors=colors(series),
    )
