"""What Prometheus is told, as its own promtool reads it; all that Python can tell is in the unit tier."""

import subprocess
from pathlib import Path

import pytest
import yaml

from cluster import promtool
from tests.support.program import Overrides, build

SHAPES: dict[str, Overrides] = {
    "dev": {},
    "often": {"monitoring": {"scrapeIntervalSeconds": 5}},
    "no exporters": {"redis": {"exporter": None}, "pgpool": {"exporter": None}},
}


@pytest.mark.parametrize("overrides", SHAPES.values(), ids=SHAPES)
def test_prometheus_takes_its_configuration(overrides: Overrides, tmp_path: Path) -> None:
    graph = build("dev", overrides)
    text = graph.one("ConfigMap", "prometheus-config").props["data"]["prometheus.yml"]
    rules = graph.one("ConfigMap", "prometheus-rules").props["data"]
    for name, groups in rules.items():
        (tmp_path / name).write_text(groups)
    config = tmp_path / "prometheus.yml"
    content = yaml.safe_load(text.replace("/run/prometheus/", f"{tmp_path}/"))  # where the pod's start puts the rules
    # Debian's promtool knows of no discovery by Kubernetes; the cluster tier has the server itself read the file.
    for scrape in content["scrape_configs"]:
        assert scrape.pop("kubernetes_sd_configs")
    config.write_text(yaml.safe_dump(content))
    done = subprocess.run([promtool.ensure(), "check", "config", config], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "SUCCESS" in done.stdout
