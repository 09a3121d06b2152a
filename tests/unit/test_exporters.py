"""The exporters: which series they give, and who may read them."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.program import Overrides, build
from tests.support.prometheus import config, relabeled

IMAGES = Path(__file__).parents[2] / "images"


class TestNamesOfPgpool:
    def renamed(self, **labels: str) -> dict[str, str] | None:
        [scrape] = config(build("dev"))["scrape_configs"]
        own = {"driver": "postgres", "host": "localhost:9999", "database": "app", "sql_job": "pgpool", "user": "u"}
        return relabeled(scrape["metric_relabel_configs"], {**own, **labels})

    def test_series_of_sql_exporter_get_the_names_of_pgpool2_exporter(self) -> None:
        node = {"node_id": "0", "hostname": "rw", "port": "5432", "role": "primary"}
        for column in ("select_cnt", "replication_delay"):
            found = self.renamed(__name__="sql_pool_nodes", col=column, status="up", **node)
            assert found == {"__name__": f"pgpool2_pool_nodes_{column}", **node}
        found = self.renamed(__name__="sql_pool_cache", col="cache_hit_ratio")
        assert found == {"__name__": "pgpool2_pool_cache_cache_hit_ratio"}

    def test_series_of_custom_queries_and_of_others_are_left_as_they_are(self) -> None:
        for name in ("sql_mine", "redis_up"):
            found = self.renamed(__name__=name, col="count")
            assert found is not None
            assert (found["__name__"], found["col"], found["database"]) == (name, "count", "app")

    def test_of_postgresqls_parameters_only_limits_are_kept(self) -> None:
        assert self.renamed(__name__="cnpg_pg_settings_setting", name="max_connections") is not None
        assert self.renamed(__name__="cnpg_pg_settings_setting", name="work_mem") is None
        assert self.renamed(__name__="cnpg_pg_settings_setting", name="min_wal_size") is None

    def test_what_pgpool2_exporter_counts_by_itself_is_recorded_for_sql_exporter_only(self) -> None:
        def recorded(overrides: Overrides) -> set[str]:
            rules = build("dev", overrides).one("ConfigMap", "prometheus-rules").props["data"]["pgpool.yaml"]
            return {rule["record"] for rule in yaml.safe_load(rules)["groups"][0]["rules"] if "record" in rule}

        names = {"pgpool2_up", "pgpool2_frontend_total", "pgpool2_frontend_used", "pgpool2_pool_nodes_status"}
        assert recorded({}) >= names
        assert not recorded({"pgpool": {"exporter": {"exporter": "pgpool2_exporter"}}}) & names


class TestExporters:
    def test_an_exporter_has_no_probe_so_that_a_pod_is_ready_without_it(self) -> None:
        graph = build("dev")
        for kind, name in (("StatefulSet", "redis"), ("StatefulSet", "redis-replica"), ("Deployment", "pgpool")):
            exporter = graph.one(kind, name).containers[1]
            assert exporter["name"] == "metrics"
            assert [key for key in exporter if key.endswith("Probe")] == []

    @pytest.mark.parametrize("image", ["redis-exporter", "sql-exporter"])
    def test_an_exporter_that_ends_does_not_end_its_container(self, image: str, tmp_path: Path) -> None:
        script = IMAGES / image / "start.sh"
        ended = tmp_path / "ended"
        (tmp_path / f"prometheus-{image}").write_text(f"#!/bin/sh\necho once >> {ended}\nexit 3\n")
        (tmp_path / "sleep").write_text(f"#!/bin/sh\n[ $(wc -l < {ended}) -lt 3 ] || kill $PPID\n")
        for program in tmp_path.iterdir():
            program.chmod(0o755)
        done = subprocess.run(
            ["sh", str(script)],
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert ended.read_text() == "once\n" * 3
        assert "ended with 3, and is started anew" in done.stderr
        assert done.returncode == 0, "when it is told to end, it does"

    def test_the_password_of_redis_is_a_file_for_its_exporter(self) -> None:
        graph = build("dev", {"redis": {"auth": {"mode": "generated"}}})
        for name in ("redis", "redis-replica"):
            exporter = graph.one("StatefulSet", name).containers[1]
            assert exporter["env"] == [{"name": "PASSWORD_FILE", "value": "/etc/redis-auth/password"}]
            assert exporter["volumeMounts"] == [{"name": "auth", "mountPath": "/etc/redis-auth", "readOnly": True}]

    def test_pgpools_exporter_logs_in_as_the_role_that_reads_statistics(self) -> None:
        exporter = build("dev").one("Deployment", "pgpool").containers[1]
        found = {
            item["name"]: (item["valueFrom"]["secretKeyRef"]["name"], item["valueFrom"]["secretKeyRef"]["key"])
            for item in exporter["env"]
            if "valueFrom" in item
        }
        assert found == {
            "PGUSER": ("hot-postgres-monitor", "username"),
            "PGPASSWORD": ("hot-postgres-monitor", "password"),
        }

    def test_a_custom_query_is_asked_beside_the_exporters_own(self) -> None:
        query = {"name": "items", "help": "Items.", "values": ["count"], "query": "SELECT count(*) FROM items;"}
        graph = build("dev", {"pgpool": {"exporter": {"customQueries": [query]}}})
        files = graph.one("ConfigMap", "pgpool-exporter").props["data"]
        [job] = yaml.safe_load(files["sql-exporter.yaml"])["jobs"]
        assert job["queries"][-1] == {**query, "labels": [], "query": "SELECT count(*) FROM items"}
        assert len(job["queries"]) == 7
        before, after = (it.one("Deployment", "pgpool").pod["metadata"]["annotations"] for it in (build("dev"), graph))
        assert before != after, "pods read the file at their start"
