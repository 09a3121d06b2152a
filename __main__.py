"""The composition of a stack: settings, components, outputs."""

import gc

import pulumi
import pulumi_kubernetes as kubernetes

import settings as stack_settings
from components import cloudnative_pg_operator, monitoring_rules
from components.bucket import existing_bucket
from components.cloudnative_pg_operator import Release
from components.endpoints import S3Endpoint
from components.fastapi_app import FastApiApp, FastApiAppArgs
from components.monitoring import Images, Monitoring, MonitoringArgs
from components.monitoring_dashboards import dashboards
from components.monitoring_settings import MonitoringSettings
from components.object_store import ObjectStore, ObjectStoreArgs
from components.pgpool import PgpoolLB, PgpoolLBArgs
from components.pgpool_exporter import PgpoolExporter
from components.postgres import PostgresHA, PostgresHAArgs
from components.redis import RedisStack, RedisStackArgs
from components.redis_exporter import RedisExporter
from settings import StackSettings
from watched import watched


def main() -> None:
    """Declare everything that the stack file asks for."""
    settings = stack_settings.from_pulumi()
    release = operator_release(settings)  # before anything is declared: it may have to be refused
    where = settings.kubernetes
    provider = kubernetes.Provider(
        "kubernetes",
        # Left to the KUBECONFIG of whoever runs Pulumi: a path in the state would differ from person to person.
        kubeconfig="",
        context=where.context,
        # The context is the cluster: a renewed certificate must not look like another cluster.
        cluster_identifier=where.context,
        # Names that are a contract keep their objects; a checksum on the pods rolls them instead.
        enable_config_map_mutable=True,
        enable_secret_mutable=True,
    )
    namespace = kubernetes.core.v1.Namespace(
        "namespace",
        metadata={
            "name": where.namespace,
            "labels": {
                "app.kubernetes.io/part-of": "hotstack",
                "pod-security.kubernetes.io/enforce": where.pod_security,
                "pod-security.kubernetes.io/warn": "restricted",
            },
        },
        opts=pulumi.ResourceOptions(
            provider=provider,
            protect=settings.protect or None,
            # A namespace takes every claim in it along, those that are to outlive the stack too.
            retain_on_delete=settings.keeps_volumes or None,
        ),
    )
    # The name of the object, and not of the settings: what lives in the namespace comes after it.
    name = namespace.metadata["name"]
    opts = pulumi.ResourceOptions(providers=[provider])

    redis = RedisStack(
        "redis",
        RedisStackArgs(
            settings=settings.redis,
            image=settings.image_reference(settings.redis.image),
            exporter_image=exporter_image(settings, settings.redis.exporter),
            namespace=name,
            scraper_namespace=where.monitoring_namespace,
        ),
        opts,
    )
    postgres = PostgresHA("postgres", postgres_args(settings, name, bucket(settings, name, opts), release), opts)
    pgpool = PgpoolLB(
        "pgpool",
        PgpoolLBArgs(
            settings=settings.pgpool,
            image=settings.image_reference(settings.pgpool.image),
            exporter_image=exporter_image(settings, settings.pgpool.exporter),
            namespace=name,
            scraper_namespace=where.monitoring_namespace,
            primary=postgres.primary,
            replicas=postgres.replicas,
            standbys=postgres.instances - 1,
        ),
        opts,
    )
    fastapi = FastApiApp(
        "fastapi",
        FastApiAppArgs(
            settings=settings.fastapi,
            image=settings.image_reference(settings.fastapi.image),
            namespace=name,
            redis=redis.primary,
            postgres=pgpool.endpoint,
            # Every session of Pgpool-II needs the primary; the standbys themselves outlive it.
            postgres_readers=[] if postgres.replicas is None else [postgres.replicas, pgpool.endpoint],
            scraper_namespace=where.monitoring_namespace,
        ),
        opts,
    )

    if settings.monitoring is not None:
        offered = [redis.metrics, pgpool.metrics, postgres.metrics, fastapi.metrics]
        metrics = [endpoint for endpoint in offered if endpoint is not None]
        Monitoring(
            "monitoring",
            MonitoringArgs(
                settings=settings.monitoring,
                images=monitoring_images(settings, settings.monitoring),
                namespace=name,
                monitoring_namespace=where.monitoring_namespace,
                endpoints=metrics,
                rules=monitoring_rules.groups(watched(settings, settings.monitoring, metrics)),
                dashboards=dashboards() if settings.monitoring.draws else {},
            ),
            opts,
        )

    pulumi.export("namespace", name)
    endpoints = {
        "redis": redis.primary,
        "redisRead": redis.replicas,
        "postgres": postgres.primary,
        "postgresRead": postgres.replicas,
        "pgpool": pgpool.endpoint,
    }
    for output, endpoint in endpoints.items():
        if endpoint is not None:
            pulumi.export(output, pulumi.Output.format("{}:{}", endpoint.host, endpoint.port))
    pulumi.export("fastapi", pulumi.Output.format("fastapi-service.{}.svc:80", name))
    if settings.fastapi.node_port is not None:
        pulumi.export("fastapiNodePort", settings.fastapi.node_port)
    if settings.fastapi.ingress is not None:
        pulumi.export("fastapiIngressPath", settings.fastapi.ingress.path)


def bucket(settings: StackSettings, namespace: pulumi.Output[str], opts: pulumi.ResourceOptions) -> S3Endpoint | None:
    """Where backups go: a bucket of the stack's own, one that exists, or nowhere."""
    if settings.object_store is not None:
        image = settings.image_reference(settings.object_store.image)
        args = ObjectStoreArgs(settings=settings.object_store, image=image, namespace=namespace)
        return ObjectStore("object-store", args, opts).endpoint
    return None if settings.bucket is None else existing_bucket(settings.bucket)


def exporter_image(settings: StackSettings, exporter: RedisExporter | PgpoolExporter | None) -> str | None:
    """The image of an exporter, where there is one."""
    return None if exporter is None else settings.image_reference(exporter.image)


def monitoring_images(settings: StackSettings, monitoring: MonitoringSettings) -> Images | None:
    """The images of a Prometheus of the stack's own, where it has one."""
    if monitoring.standalone is None:
        return None
    grafana = monitoring.standalone.grafana
    return Images(
        prometheus=settings.image_reference(monitoring.standalone.prometheus_image),
        alertmanager=settings.image_reference(monitoring.standalone.alertmanager_image),
        grafana=None if grafana is None else settings.image_reference(grafana.image),
    )


def operator_release(settings: StackSettings) -> Release | None:
    """The release of PostgreSQL's operator, where the stack is to install it."""
    own = settings.postgres.cloudnative_pg
    if own is None or own.operator.manifest is None:
        return None
    return cloudnative_pg_operator.read(own.operator.manifest, stack_settings.ROOT)


def postgres_args(
    settings: StackSettings, namespace: pulumi.Output[str], where: S3Endpoint | None, release: Release | None
) -> PostgresHAArgs:
    """What PostgreSQL needs."""
    own = settings.postgres.cloudnative_pg
    operator_image = None if own is None else own.operator.image
    return PostgresHAArgs(
        settings=settings.postgres,
        image=None if own is None else settings.image_reference(own.image),
        namespace=namespace,
        scraper_namespace=settings.kubernetes.monitoring_namespace,
        release=release,
        operator_image=None if operator_image is None else settings.image_reference(operator_image),
        bucket=where,
        # Pgpool-II shows its clients the server's own certificate.
        server_names=["pgpool", *(pulumi.Output.concat("pgpool.", namespace, end) for end in ("", ".svc"))],
    )


# Pulumi waits for the interpreter to end, which would go through the classes of pulumi_kubernetes once more: half a
# second of every preview.
gc.freeze()
main()
