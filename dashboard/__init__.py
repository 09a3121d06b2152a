"""The dashboards as one page, for people who have no Grafana: drawn from what Prometheus's API answers."""
