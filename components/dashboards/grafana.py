"""Dashboards as Grafana's JSON, by Grafana's own SDK.

Only what renders dashboards imports this module: the SDK is not for every preview to wait for.
"""

import json
from string import ascii_uppercase
from typing import Any

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import stat, timeseries
from grafana_foundation_sdk.builders.common import ReduceDataOptions
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import TimeZoneUtc
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DataSourceRef, VariableRefresh, VariableSort

from components.dashboards.model import Dashboard, Panel

_DATASOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
_WIDTH, _HEIGHT = 8, 7  # of Grafana's grid of 24: three panels in a line


def render(dashboard: Dashboard) -> dict[str, Any]:
    """The JSON model that Grafana imports, or its sidecar finds in a ConfigMap."""
    builder = (
        builders.Dashboard(f"hotstack: {dashboard.title}")
        .uid(f"hotstack-{dashboard.name}")
        .tags(["hotstack"])
        .readonly()
        .refresh("30s")
        .time("now-1h", "now")
        .timezone(TimeZoneUtc)
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(builders.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(_namespace())
        .with_variable(_instance(dashboard.job))
    )
    number = 0
    for row in dashboard.rows:
        builder.with_row(builders.Row(row.title).id(number := number + 1))
        for panel in row.panels:
            builder.with_panel(_panel(panel).id(number := number + 1))
    return json.loads(JSONEncoder().encode(builder.build()))


def _namespace() -> builders.QueryVariable:
    return (
        builders.QueryVariable("namespace")
        .label("Namespace")
        .datasource(_DATASOURCE)
        .query('label_values(up{job="fastapi"}, namespace)')
        .refresh(VariableRefresh.ON_DASHBOARD_LOAD)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )


def _instance(job: str | None) -> builders.QueryVariable:
    scope = 'namespace="$namespace"' if job is None else f'job="{job}", namespace="$namespace"'
    return (
        builders.QueryVariable("instance")
        .label("Instance")
        .datasource(_DATASOURCE)
        .query(f"label_values(up{{{scope}}}, pod)")
        # Pods come and go: those of the time that is looked at, and all of them where nobody chooses.
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
    )


def _panel(panel: Panel) -> timeseries.Panel | stat.Panel:
    if panel.kind == "value":
        drawn = stat.Panel().reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
    else:
        drawn = timeseries.Panel().min(0).fill_opacity(5)
    drawn.title(panel.title).description(panel.description).unit(panel.unit).no_value("No data")
    drawn.datasource(_DATASOURCE).span(_WIDTH).height(_HEIGHT)
    for number, query in enumerate(panel.queries):
        target = Dataquery().expr(query.expression).legend_format(query.legend).datasource(_DATASOURCE)
        # A value is one of now: of a range, Grafana would show the last of a series that has ended, too.
        target = target.instant() if panel.kind == "value" else target.range()
        drawn.with_target(target.ref_id(ascii_uppercase[number]))
    return drawn
