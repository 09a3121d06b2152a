"""Dashboards as declarations: what a panel asks and means. Grafana's JSON and the page of `make dashboard` follow."""

from components.dashboards.fastapi import FASTAPI
from components.dashboards.overview import OVERVIEW
from components.dashboards.pgpool import PGPOOL
from components.dashboards.postgres import POSTGRES
from components.dashboards.redis import REDIS

DASHBOARDS = (OVERVIEW, REDIS, POSTGRES, PGPOOL, FASTAPI)
"""All of them, in the order in which people see them."""
