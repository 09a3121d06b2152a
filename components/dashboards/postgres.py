"""PostgreSQL: roles and lag, what it does, what it keeps. Names are those of CloudNativePG's own exporter."""

from components.dashboards.model import Dashboard, Panel, Query, Row

_REPLICATION = Row(
    "Replication",
    (
        Panel(
            title="PostgreSQL instances",
            description="Pods that answer, and the roles that they have. There is exactly one primary.",
            unit="short",
            kind="value",
            queries=(
                Query("sum(cnpg_collector_up{$postgres})", "up"),
                Query("count(cnpg_pg_replication_in_recovery{$postgres} == 0)", "primaries"),
                Query("count(cnpg_pg_replication_in_recovery{$postgres} == 1) or vector(0)", "standbys"),
            ),
        ),
        Panel(
            title="Standby or primary",
            description="1 for a standby, 0 for the primary: lines that change places are a failover or a switchover.",
            unit="short",
            queries=(Query("cnpg_pg_replication_in_recovery{$postgres}", "{{pod}}"),),
        ),
        Panel(
            title="Replay lag",
            description="Seconds by which each standby is behind, as its primary measures it.",
            unit="s",
            queries=(Query("cnpg_pg_stat_replication_replay_lag_seconds{$postgres}", "{{application_name}}"),),
        ),
        Panel(
            title="WAL that a standby has not replayed",
            description="Bytes that each standby still has to replay.",
            unit="bytes",
            queries=(Query("cnpg_pg_stat_replication_replay_diff_bytes{$postgres}", "{{application_name}}"),),
        ),
        Panel(
            title="Standbys",
            description="How many a commit waits for, and how many the primary sends to. With fewer, commits wait.",
            unit="short",
            queries=(
                Query('cnpg_collector_sync_replicas{$postgres, value="observed"}', "{{pod}} waits for"),
                Query(
                    "count by (pod) ("
                    'cnpg_pg_stat_replication_sent_diff_bytes{$postgres, application_name=~".+-[0-9]+"})',
                    "{{pod}} sends to",
                ),
            ),
        ),
        Panel(
            title="WAL held back by slots",
            description="Bytes that the primary keeps for a standby that is away. Without an end, the disk fills up.",
            unit="bytes",
            queries=(Query("cnpg_pg_replication_slots_pg_wal_lsn_diff{$postgres}", "{{pod}} {{slot_name}}"),),
        ),
    ),
)

_LOAD = Row(
    "Load",
    (
        Panel(
            title="Connections",
            description="Sessions of each instance, and how many there may be. Pgpool-II keeps some open while idle.",
            unit="short",
            queries=(
                Query("sum by (pod) (cnpg_backends_total{$postgres})", "{{pod}}"),
                Query('max(cnpg_pg_settings_setting{$postgres, name="max_connections"})', "max_connections"),
            ),
        ),
        Panel(
            title="Waiting for locks",
            description="Sessions that wait for another one.",
            unit="short",
            queries=(Query("cnpg_backends_waiting_total{$postgres}", "{{pod}}"),),
        ),
        Panel(
            title="Longest transaction",
            description="Age of the oldest open transaction. A long one keeps VACUUM from cleaning up.",
            unit="s",
            queries=(Query("max by (pod) (cnpg_backends_max_tx_duration_seconds{$postgres})", "{{pod}}"),),
        ),
        Panel(
            title="Transactions",
            description="Commits and rollbacks a second. On standbys these are reads.",
            unit="ops",
            queries=(
                Query(
                    "sum by (pod) (rate(cnpg_pg_stat_database_xact_commit{$postgres}[$__rate_interval]))",
                    "{{pod}} commit",
                ),
                Query(
                    "sum by (pod) (rate(cnpg_pg_stat_database_xact_rollback{$postgres}[$__rate_interval]))",
                    "{{pod}} rollback",
                ),
            ),
        ),
        Panel(
            title="Rows",
            description="Rows a second that were fetched, and that were inserted, updated or deleted.",
            unit="ops",
            queries=(
                Query(
                    "sum by (pod) (rate(cnpg_pg_stat_database_tup_fetched{$postgres}[$__rate_interval]))",
                    "{{pod}} fetched",
                ),
                Query(
                    "sum by (pod) (rate(cnpg_pg_stat_database_tup_inserted{$postgres}[$__rate_interval])"
                    " + rate(cnpg_pg_stat_database_tup_updated{$postgres}[$__rate_interval])"
                    " + rate(cnpg_pg_stat_database_tup_deleted{$postgres}[$__rate_interval]))",
                    "{{pod}} written",
                ),
            ),
        ),
        Panel(
            title="Hit ratio of shared buffers",
            description="Share of blocks that were in PostgreSQL's own memory.",
            unit="percentunit",
            queries=(
                Query(
                    "sum by (pod) (rate(cnpg_pg_stat_database_blks_hit{$postgres}[$__rate_interval]))"
                    " / (sum by (pod) (rate(cnpg_pg_stat_database_blks_hit{$postgres}[$__rate_interval]))"
                    " + sum by (pod) (rate(cnpg_pg_stat_database_blks_read{$postgres}[$__rate_interval])))",
                    "{{pod}}",
                ),
            ),
        ),
        Panel(
            title="Deadlocks and conflicts",
            description="Transactions a second that had to end: by a deadlock, or on a standby for what it replayed.",
            unit="ops",
            queries=(
                Query(
                    "sum by (pod) (rate(cnpg_pg_stat_database_deadlocks{$postgres}[$__rate_interval]))",
                    "{{pod}} deadlocks",
                ),
                Query(
                    "sum by (pod) (rate(cnpg_pg_stat_database_conflicts{$postgres}[$__rate_interval]))",
                    "{{pod}} conflicts",
                ),
            ),
        ),
        Panel(
            title="Temporary files",
            description="Bytes a second that sorts and joins wrote to disk because `work_mem` was too small for them.",
            unit="Bps",
            queries=(
                Query("sum by (pod) (rate(cnpg_pg_stat_database_temp_bytes{$postgres}[$__rate_interval]))", "{{pod}}"),
            ),
        ),
        Panel(
            title="WAL written",
            description="Bytes a second of write-ahead log.",
            unit="Bps",
            queries=(Query("sum by (pod) (rate(cnpg_collector_wal_bytes{$postgres}[$__rate_interval]))", "{{pod}}"),),
        ),
    ),
)

_KEPT = Row(
    "Disk and archive",
    (
        Panel(
            title="Volumes",
            description="Share of each volume that is in use. Full, PostgreSQL stops.",
            unit="percentunit",
            queries=(Query("hotstack:postgres_volume:used_ratio{$postgres}", "{{pod}} {{volume}}"),),
        ),
        Panel(
            title="Databases",
            description="Size of each database.",
            unit="bytes",
            queries=(Query("max by (datname) (cnpg_pg_database_size_bytes{$postgres})", "{{datname}}"),),
        ),
        Panel(
            title="WAL on disk",
            description="Size of the write-ahead log. It grows while a slot or a failing archive holds it back.",
            unit="bytes",
            queries=(Query('cnpg_collector_pg_wal{$postgres, value="size"}', "{{pod}}"),),
        ),
        Panel(
            title="WAL that waits for the archive",
            description="Files that are not in the bucket yet. More and more of them: the archive fails.",
            unit="short",
            queries=(Query('cnpg_collector_pg_wal_archive_status{$postgres, value="ready"}', "{{pod}}"),),
        ),
        Panel(
            title="Since the last archived file",
            description="Seconds without a file for the bucket. `archive_timeout` bounds it while there are writes.",
            unit="s",
            queries=(Query("cnpg_pg_stat_archiver_seconds_since_last_archival{$postgres}", "{{pod}}"),),
        ),
        Panel(
            title="Failures of the archive",
            description="Attempts that failed, within the last five minutes.",
            unit="short",
            queries=(Query("increase(cnpg_pg_stat_archiver_failed_count{$postgres}[5m])", "{{pod}}"),),
        ),
        Panel(
            title="Age of transaction ids",
            description="Transactions since the oldest row that is not frozen. At two thousand million writes stop.",
            unit="short",
            queries=(Query("max by (datname) (cnpg_pg_database_xid_age{$postgres})", "{{datname}}"),),
        ),
    ),
)

POSTGRES = Dashboard(name="postgres", title="PostgreSQL", job="postgres", rows=(_REPLICATION, _LOAD, _KEPT))
