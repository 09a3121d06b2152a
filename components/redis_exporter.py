"""What reads the figures of a Redis: redis_exporter, beside each of its pods."""

from collections.abc import Sequence

from pulumi_kubernetes.core.v1 import ContainerArgsDict, VolumeMountArgsDict

from components.endpoints import Relabeling
from components.kube.pods import container_base
from components.model import Image, Resources, Settings

PORT = 9121
PORT_NAME = "http-metrics"
RELABELINGS: Sequence[Relabeling] = (
    # How long each command took, by bucket and by quantile: nearly half of its series. Its sums and counts are enough.
    {
        "source_labels": ["__name__"],
        "regex": "redis_(commands_latencies_usec_.+|latency_percentiles_usec.*)",
        "action": "drop",
    },
)
"""Of the metrics as they are read."""


class RedisExporter(Settings):
    """redis_exporter, in every pod of Redis."""

    image: Image
    resources: Resources = Resources(cpu="10m", memory="32Mi")


def container(image: str, settings: RedisExporter, auth: VolumeMountArgsDict | None) -> ContainerArgsDict:
    """The exporter's container: it has no probe, since a pod of Redis is well without it.

    Args:
        image: reference of the image to run.
        settings: of the exporter.
        auth: where the folder with the file `password` is mounted; `None` when Redis asks for none.
    """
    return {
        **container_base("metrics", image, settings.resources),
        "args": [
            "--redis.addr=redis://localhost:6379",
            f"--web.listen-address=:{PORT}",
            # Less than a scrape waits: a Redis that hangs is then `redis_up 0`, and not a scrape that failed.
            "--connection-timeout=4s",
            "--redis-only-metrics",
        ],
        # The image's own start reads the password: the program itself takes it from nothing but an argument,
        # the environment, or a file of another form.
        "env": [] if auth is None else [{"name": "PASSWORD_FILE", "value": f"{auth['mount_path']}/password"}],
        "ports": [{"name": PORT_NAME, "container_port": PORT, "protocol": "TCP"}],
        "volume_mounts": [] if auth is None else [auth],
    }
