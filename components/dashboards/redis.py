"""Redis: who leads and who follows, what clients ask, what is kept where. Names are those of redis_exporter."""

from components.dashboards.model import Dashboard, Panel, Query, Row

_REPLICATION = Row(
    "Replication",
    (
        Panel(
            title="Redis instances",
            description="Pods that answer, and the roles that they say they have. There is exactly one primary.",
            unit="short",
            kind="value",
            queries=(
                Query("sum(redis_up{$redis})", "up"),
                Query('count(redis_instance_info{$redis, role="master"})', "primaries"),
                Query('count(redis_instance_info{$redis, role="slave"}) or vector(0)', "replicas"),
            ),
        ),
        Panel(
            title="Links of replicas",
            description="1 while a replica follows its primary; 0 while it is cut off and answers with what it has.",
            unit="short",
            queries=(Query("redis_master_link_up{$redis}", "{{pod}}"),),
        ),
        Panel(
            title="Behind the primary",
            description="Bytes of the replication stream that a replica has not confirmed yet.",
            unit="bytes",
            queries=(
                Query(
                    "redis_master_repl_offset{$redis} - on (instance) group_right ()"
                    " redis_connected_slave_offset_bytes{$redis}",
                    "{{slave_ip}}",
                ),
            ),
        ),
        Panel(
            title="Last word of a replica",
            description="Seconds since the primary heard of each replica.",
            unit="s",
            queries=(Query("redis_connected_slave_lag_seconds{$redis}", "{{slave_ip}}"),),
        ),
        Panel(
            title="Redis uptime",
            description="Since each process started: a line that falls to zero is a restart.",
            unit="s",
            queries=(Query("redis_uptime_in_seconds{$redis}", "{{pod}}"),),
        ),
    ),
)

_LOAD = Row(
    "Load",
    (
        Panel(
            title="Clients of Redis",
            description="Open connections. The limit is `maxclients`; beyond it new ones are rejected.",
            unit="short",
            queries=(
                Query("redis_connected_clients{$redis}", "{{pod}}"),
                Query("redis_blocked_clients{$redis}", "{{pod}} blocked"),
            ),
        ),
        Panel(
            title="Rejected connections",
            description="Connections a second that found `maxclients` reached: each an outage for somebody.",
            unit="ops",
            queries=(Query("rate(redis_rejected_connections_total{$redis}[$__rate_interval])", "{{pod}}"),),
        ),
        Panel(
            title="Commands",
            description="Commands a second, by pod: replicas show what they replay, too.",
            unit="ops",
            queries=(Query("rate(redis_commands_processed_total{$redis}[$__rate_interval])", "{{pod}}"),),
        ),
        Panel(
            title="Busiest commands",
            description="The eight commands that are called most.",
            unit="ops",
            queries=(Query("topk(8, sum by (cmd) (rate(redis_commands_total{$redis}[$__rate_interval])))", "{{cmd}}"),),
        ),
        Panel(
            title="Time of a command",
            description="Mean time inside of Redis. One slow command holds up all others: there is one thread.",
            unit="s",
            queries=(
                Query(
                    "sum by (pod) (rate(redis_commands_duration_seconds_total{$redis}[$__rate_interval]))"
                    " / sum by (pod) (rate(redis_commands_total{$redis}[$__rate_interval]))",
                    "{{pod}}",
                ),
            ),
        ),
        Panel(
            title="Redis traffic",
            description="Bytes a second in and out, replication included.",
            unit="Bps",
            queries=(
                Query("rate(redis_net_input_bytes_total{$redis}[$__rate_interval])", "{{pod}} in"),
                Query("rate(redis_net_output_bytes_total{$redis}[$__rate_interval])", "{{pod}} out"),
            ),
        ),
    ),
)

_DATA = Row(
    "Data",
    (
        Panel(
            title="Memory of Redis",
            description="Used, and `maxmemory`, at which keys are evicted or writes refused.",
            unit="bytes",
            queries=(
                Query("redis_memory_used_bytes{$redis}", "{{pod}}"),
                Query("max(redis_memory_max_bytes{$redis})", "maxmemory"),
            ),
        ),
        Panel(
            title="Fragmentation",
            description="Memory that the system gave for each byte in use. Under 1, some of it is swapped out.",
            unit="short",
            queries=(Query("redis_mem_fragmentation_ratio{$redis}", "{{pod}}"),),
        ),
        Panel(
            title="Keys",
            description="Keys in all databases. Replicas have as many as their primary.",
            unit="short",
            queries=(Query("sum by (pod) (redis_db_keys{$redis})", "{{pod}}"),),
        ),
        Panel(
            title="Hit ratio of keys",
            description="Share of lookups that found a key. Empty while nobody looks anything up.",
            unit="percentunit",
            queries=(
                Query(
                    "rate(redis_keyspace_hits_total{$redis}[$__rate_interval])"
                    " / (rate(redis_keyspace_hits_total{$redis}[$__rate_interval])"
                    " + rate(redis_keyspace_misses_total{$redis}[$__rate_interval]))",
                    "{{pod}}",
                ),
            ),
        ),
        Panel(
            title="Keys that went",
            description="Keys a second that expired as they should, and that were evicted because memory was full.",
            unit="ops",
            queries=(
                Query("rate(redis_expired_keys_total{$redis}[$__rate_interval])", "{{pod}} expired"),
                Query("rate(redis_evicted_keys_total{$redis}[$__rate_interval])", "{{pod}} evicted"),
            ),
        ),
        Panel(
            title="Persistence",
            description="1 while the last write to the append-only file, and the last snapshot, went well.",
            unit="short",
            queries=(
                Query("redis_aof_last_write_status{$redis}", "{{pod}} append-only file"),
                Query("redis_rdb_last_bgsave_status{$redis}", "{{pod}} snapshot"),
            ),
        ),
    ),
)

REDIS = Dashboard(name="redis", title="Redis", job="redis", rows=(_REPLICATION, _LOAD, _DATA))
