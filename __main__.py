"""The composition of a stack: settings, components, outputs."""

import pulumi
import pulumi_kubernetes as kubernetes

import settings as stack_settings
from components.fastapi_app import FastApiApp, FastApiAppArgs
from components.redis import RedisStack, RedisStackArgs


def main() -> None:
    """Declare everything that the stack file asks for."""
    settings = stack_settings.from_pulumi()
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
            protect=settings.redis.protect or None,
            # A namespace takes every claim in it along, those that are to outlive the stack too.
            retain_on_delete=settings.redis.keeps_volumes or None,
        ),
    )
    # The name of the object, and not of the settings: what lives in the namespace comes after it.
    name = namespace.metadata["name"]
    opts = pulumi.ResourceOptions(providers=[provider])

    redis = RedisStack(
        "redis",
        RedisStackArgs(settings=settings.redis, image=settings.image_reference(settings.redis.image), namespace=name),
        opts,
    )
    FastApiApp(
        "fastapi",
        FastApiAppArgs(
            settings=settings.fastapi,
            image=settings.image_reference(settings.fastapi.image),
            namespace=name,
            redis=redis.primary,
            scraper_namespace=where.monitoring_namespace,
        ),
        opts,
    )

    pulumi.export("namespace", name)
    pulumi.export("redis", pulumi.Output.format("{}:{}", redis.primary.host, redis.primary.port))
    if redis.replicas is not None:
        pulumi.export("redisRead", pulumi.Output.format("{}:{}", redis.replicas.host, redis.replicas.port))
    pulumi.export("fastapi", pulumi.Output.format("fastapi-service.{}.svc:80", name))
    if settings.fastapi.node_port is not None:
        pulumi.export("fastapiNodePort", settings.fastapi.node_port)
    if settings.fastapi.ingress is not None:
        pulumi.export("fastapiIngressPath", settings.fastapi.ingress.path)


main()
