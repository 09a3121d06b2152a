"""Dashboards for a Grafana that finds them in ConfigMaps."""

from typing import Any

from components.dashboards import DASHBOARDS


def dashboards() -> dict[str, dict[str, Any]]:
    """Grafana's JSON models by file name: `hotstack-redis.json` and so on."""
    # Imported here, because stacks without a Grafana need not wait for it.
    from components.dashboards import grafana

    return {f"hotstack-{dashboard.name}.json": grafana.render(dashboard) for dashboard in DASHBOARDS}
