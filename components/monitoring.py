"""Monitoring: what scrapes every part, alerts, and draws; the stack's own, or objects for the cluster's operator."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.apps.v1 import StatefulSet
from pulumi_kubernetes.core.v1 import (
    ConfigMap,
    Namespace,
    PersistentVolumeClaimArgsDict,
    PodSpecArgsDict,
    Secret,
    Service,
    ServiceAccount,
)
from pulumi_kubernetes.meta.v1 import ObjectMetaArgsDict
from pulumi_kubernetes.networking.v1 import NetworkPolicy
from pulumi_kubernetes.policy.v1 import PodDisruptionBudget
from pulumi_kubernetes.rbac.v1 import Role, RoleBinding

from components import grafana, prometheus_config
from components import monitoring_operator as operator
from components.endpoints import MetricsEndpoint, SecretKey
from components.grafana import Grafana
from components.kube import network
from components.kube.labels import labels, selector
from components.kube.metrics import metrics_service
from components.kube.passwords import generated_password
from components.kube.pods import data_claim
from components.kube.rollout import config_checksum, stateful_set_rolled_out, timeouts
from components.kube.scheduling import disruption_budget
from components.monitoring_settings import MonitoringSettings, Standalone
from components.monitoring_standalone import (
    ALERTMANAGER,
    PROMETHEUS,
    alertmanager_pod,
    discovery_rules,
    prometheus_pod,
)
from components.prometheus_config import ALERTMANAGER_PORT, PROMETHEUS_PORT

APP = "monitoring"
_ALERTMANAGER_STATE = "64Mi"  # silences, and what was told to whom

RuleGroups = Sequence[Mapping[str, Any]]
"""Groups of rules, as in a rule file of Prometheus."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Images:
    """References of the images of mode `standalone`."""

    prometheus: str
    alertmanager: str
    grafana: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MonitoringArgs:
    """What `Monitoring` needs.

    Attributes:
        settings: the `hotstack:monitoring` part of the stack file.
        images: to run, for mode `standalone`.
        namespace: name of the stack's namespace.
        monitoring_namespace: name of the namespace that scrapes; with mode `standalone` it is made here.
        endpoints: where the parts' metrics are.
        rules: what is recorded and alerted on.
        dashboards: JSON models of Grafana by file name.
    """

    settings: MonitoringSettings
    images: Images | None
    namespace: pulumi.Input[str]
    monitoring_namespace: str
    endpoints: Sequence[MetricsEndpoint]
    rules: RuleGroups
    dashboards: Mapping[str, Mapping[str, Any]]


class Monitoring(pulumi.ComponentResource):
    """Prometheus behind `prometheus:9090` and Alertmanager beside it, or what the cluster's operator is told."""

    def __init__(self, name: str, args: MonitoringArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("hotstack:index:Monitoring", name, {"mode": args.settings.mode}, opts)
        self._name = name
        self._args = args
        self._child = pulumi.ResourceOptions(parent=self)
        if args.settings.standalone is not None and args.images is not None:
            self._standalone(args.settings.standalone, args.images)
        else:
            self._objects_for_the_operator()
        self.register_outputs({"mode": args.settings.mode})

    def _standalone(self, standalone: Standalone, images: Images) -> None:
        args = self._args
        namespace = Namespace(
            f"{self._name}-namespace",
            metadata={
                "name": args.monitoring_namespace,
                "labels": {
                    "app.kubernetes.io/part-of": "hotstack",
                    "pod-security.kubernetes.io/enforce": "restricted",
                    "pod-security.kubernetes.io/warn": "restricted",
                },
            },
            opts=self._child,
        )
        # The name of the object, and not of the settings: what lives in the namespace comes after it.
        inside = namespace.metadata["name"]
        alertmanager = self._server(
            ALERTMANAGER,
            ALERTMANAGER_PORT,
            inside,
            {"config": prometheus_config.alertmanager_files(standalone, args.monitoring_namespace)},
            lambda pods: alertmanager_pod(images.alertmanager, standalone, pods),
            data_claim(_ALERTMANAGER_STATE, standalone.storage.storage_class),
            [],
        )
        watched = {
            "stack": args.namespace,
            "monitoring": inside,
            **{namespace: namespace for namespace in standalone.namespaces},
        }
        names = pulumi.Output.all(*watched.values())
        self._server(
            PROMETHEUS,
            PROMETHEUS_PORT,
            inside,
            {
                "config": names.apply(
                    lambda names: prometheus_config.prometheus_files(args.settings, names, args.endpoints)
                ),
                "rules": prometheus_config.rule_files(args.rules),
            },
            lambda pods: prometheus_pod(images.prometheus, standalone, pods),
            data_claim(standalone.storage.size, standalone.storage.storage_class),
            [alertmanager, *(self._may_look(what, where, inside) for what, where in watched.items())],
        )
        if standalone.grafana is not None and images.grafana is not None:
            self._grafana(standalone.grafana, images.grafana, inside)
        for endpoint in args.endpoints:
            if endpoint.service is None:
                self._service_of_pods(endpoint)

    def _grafana(self, settings: Grafana, image: str, namespace: pulumi.Output[str]) -> None:
        secret = Secret(
            f"{self._name}-grafana-admin",
            metadata={"namespace": namespace, "labels": labels(grafana.GRAFANA, self._name)},
            immutable=True,
            string_data={
                "password": generated_password(
                    f"{self._name}-grafana-password", settings.admin_rotation, self._child
                ).result
            },
            opts=self._child,
        )
        password = SecretKey(name=secret.metadata["name"], key="password")
        self._server(
            grafana.GRAFANA,
            grafana.PORT,
            namespace,
            {
                "config": grafana.config_files(f"http://{PROMETHEUS}:{PROMETHEUS_PORT}"),
                "dashboards": {file: json.dumps(model) for file, model in self._args.dashboards.items()},
            },
            lambda pods: grafana.pod(image, settings, password, pods),
            data_claim(grafana.STATE, self._standalone_settings.storage.storage_class),
            [],
        )

    def _server(
        self,
        app: str,
        port: int,
        namespace: pulumi.Input[str],
        files: Mapping[str, pulumi.Input[Mapping[str, str]]],
        pod: Callable[[dict[str, str]], PodSpecArgsDict],
        volume: PersistentVolumeClaimArgsDict,
        after: Sequence[pulumi.Resource],
    ) -> StatefulSet:
        """A server of one pod with a claim, behind a Service that is scraped itself.

        Args:
            app: its name, and that of most of its objects.
            port: of its web server.
            namespace: where it lives.
            files: contents of the ConfigMaps `<app>-<key>`, which roll the pod when they change.
            pod: from the labels of the pod to its spec.
            volume: claim of its data.
            after: what else must be there before its pod.
        """
        name, child = f"{self._name}-{app}", self._child
        pods = selector(app, self._name)
        waits = timeouts(self._standalone_settings.rollout_timeout_seconds)

        def metadata(object_name: str) -> ObjectMetaArgsDict:
            return {"name": object_name, "namespace": namespace, "labels": labels(app, self._name)}

        config_maps = [
            ConfigMap(f"{name}-{key}", metadata=metadata(f"{app}-{key}"), data=data, opts=child)
            for key, data in files.items()
        ]
        account = ServiceAccount(
            f"{name}-account", metadata=metadata(app), automount_service_account_token=False, opts=child
        )
        policy = NetworkPolicy(
            f"{name}-policy",
            metadata=metadata(app),
            spec=network.ingress_policy(
                pods, [network.allow(port, [network.namespace(self._args.monitoring_namespace)])]
            ),
            opts=child,
        )
        PodDisruptionBudget(f"{name}-budget", metadata=metadata(app), spec=disruption_budget(pods), opts=child)
        server = StatefulSet(
            f"{name}-server",
            metadata={**metadata(app), "annotations": stateful_set_rolled_out(1)},
            spec={
                "service_name": app,
                "replicas": 1,
                "pod_management_policy": "Parallel",
                "selector": {"match_labels": pods},
                "template": {
                    "metadata": {
                        "labels": labels(app, self._name),
                        "annotations": pulumi.Output.all(**files).apply(config_checksum),
                    },
                    "spec": pod(pods),
                },
                "volume_claim_templates": [volume],
                "persistent_volume_claim_retention_policy": {"when_deleted": "Delete", "when_scaled": "Retain"},
            },
            opts=pulumi.ResourceOptions(
                parent=self, depends_on=[*config_maps, account, policy, *after], custom_timeouts=waits
            ),
        )
        own = MetricsEndpoint(job=app, namespace=namespace, pods=pods, service=pods, port=port, port_name="http")
        Service(
            f"{name}-service",
            metadata={**metadata(app), "annotations": own.annotations},
            spec={
                "type": "ClusterIP",
                "selector": pods,
                "ports": [{"name": "http", "port": port, "target_port": "http", "protocol": "TCP"}],
            },
            # After its workload: an `up` that fails then names the pod, not a Service without endpoints.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[server], custom_timeouts=waits),
        )
        return server

    @property
    def _standalone_settings(self) -> Standalone:
        if self._args.settings.standalone is None:
            raise ValueError("mode operator has no servers of its own")
        return self._args.settings.standalone

    def _may_look(self, what: str, namespace: pulumi.Input[str], account_namespace: pulumi.Input[str]) -> RoleBinding:
        """Prometheus' right to find what is scraped in a namespace, and nothing beyond it."""
        metadata: ObjectMetaArgsDict = {
            "name": f"{PROMETHEUS}-discovery",
            "namespace": namespace,
            "labels": labels(PROMETHEUS, self._name),
        }
        role = Role(f"{self._name}-{what}-role", metadata=metadata, rules=discovery_rules(), opts=self._child)
        return RoleBinding(
            f"{self._name}-{what}-binding",
            metadata=metadata,
            role_ref={"api_group": "rbac.authorization.k8s.io", "kind": "Role", "name": role.metadata["name"]},
            subjects=[{"kind": "ServiceAccount", "name": PROMETHEUS, "namespace": account_namespace}],
            opts=self._child,
        )

    def _service_of_pods(self, endpoint: MetricsEndpoint) -> None:
        """A Service to be discovered by, for pods whose operator makes none for metrics."""
        Service(
            f"{self._name}-{endpoint.job}-service",
            metadata={
                "name": f"{endpoint.job}-metrics",
                "namespace": endpoint.namespace,
                "labels": labels(endpoint.job, self._name),
                "annotations": endpoint.annotations,
            },
            spec=metrics_service(endpoint.pods, endpoint.port, endpoint.port_name),
            opts=self._child,
        )

    def _objects_for_the_operator(self) -> None:
        args = self._args
        interval = args.settings.scrape_interval_seconds
        for endpoint in args.endpoints:
            self._custom(
                operator.monitor_kind(endpoint),
                endpoint.job,
                operator.monitor_spec(endpoint, interval, prometheus_config.scrape_timeout(interval)),
            )
        evaluated = prometheus_config.evaluation_interval(interval)
        self._custom("PrometheusRule", "rules", operator.rule_spec(args.rules, evaluated))
        for file, model in args.dashboards.items():
            board = file.removesuffix(".json")
            ConfigMap(
                f"{self._name}-{board}",
                metadata={
                    "name": f"{board}-dashboard",
                    "namespace": args.namespace,
                    "labels": {**labels(APP, self._name), "grafana_dashboard": "1"},
                },
                data={file: json.dumps(model)},
                opts=self._child,
            )

    def _custom(self, kind: str, what: str, spec: operator.Body) -> None:
        args = self._args
        own = {} if args.settings.operator is None else args.settings.operator.labels
        CustomResource(
            f"{self._name}-{what}",
            api_version=operator.API,
            kind=kind,
            metadata={
                "name": f"hotstack-{what}",
                "namespace": args.namespace,
                "labels": {**labels(APP, self._name), **own},
            },
            spec=spec,
            opts=self._child,
        )
