"""What Prometheus and Alertmanager are told: pure functions that return their files."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from components import plain_yaml
from components.endpoints import MetricsEndpoint, Relabeling
from components.model import to_bytes
from components.monitoring_settings import MonitoringSettings, Receiver, Standalone

PROMETHEUS_PORT = 9090
ALERTMANAGER_PORT = 9093
RECEIVER_MOUNT = "/run/secrets/receiver"
RECEIVER_FILE = f"{RECEIVER_MOUNT}/secret"
CHECK_ALERT = "HotstackCheck"
"""The alert that `make check` fires; it goes to the pod of that check, and to nobody else."""
CHECK_RECEIVER = "alert-check"
CHECK_PORT = 8080
_FILES = Path(__file__).parent / "prometheus_files"
_ANNOTATION = "__meta_kubernetes_service_annotation_prometheus_io_"
_OWN_SERIES: Sequence[Relabeling] = (
    # How Prometheus' and Alertmanager's own requests spread: a quarter of what both say, and nobody asks.
    {"source_labels": ["__name__"], "regex": "(prometheus|alertmanager)_.+_bucket", "action": "drop"},
)
# A target that answers with garbage, or without end, must not fill Prometheus.
_SAMPLES = 5000
_BODY = "10MB"


def scrape_timeout(interval: int) -> int:
    """Seconds that a target has to answer: less than from one scrape to the next, and 10 at most."""
    return min(10, interval - 1)


def evaluation_interval(interval: int) -> int:
    """Seconds from one evaluation of rules to the next: what a scrape has shown is judged within a third of one."""
    return max(1, interval // 3)


def prometheus_files(
    settings: MonitoringSettings, namespaces: Sequence[str], endpoints: Iterable[MetricsEndpoint]
) -> dict[str, str]:
    """The files of `prometheus-config`.

    Args:
        settings: of the component.
        namespaces: whose Services are looked at.
        endpoints: the parts whose series have relabelings.
    """
    return {
        "prometheus.yml": plain_yaml.text(prometheus_config(settings, namespaces, endpoints)),
        "start.sh": (_FILES / "start.sh").read_text(),
    }


def prometheus_config(
    settings: MonitoringSettings, namespaces: Sequence[str], endpoints: Iterable[MetricsEndpoint]
) -> dict[str, Any]:
    """prometheus.yml; see `prometheus_files`."""
    interval = settings.scrape_interval_seconds
    return {
        "global": {
            "scrape_interval": f"{interval}s",
            "scrape_timeout": f"{scrape_timeout(interval)}s",
            "evaluation_interval": f"{evaluation_interval(interval)}s",
        },
        "rule_files": ["/run/prometheus/*.yaml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"alertmanager:{ALERTMANAGER_PORT}"]}]}]},
        "scrape_configs": [
            {
                "job_name": "services",
                "sample_limit": _SAMPLES,
                "body_size_limit": _BODY,
                "kubernetes_sd_configs": [{"role": "endpointslice", "namespaces": {"names": list(namespaces)}}],
                "relabel_configs": discovery(),
                "metric_relabel_configs": [dict(item) for item in metric_relabelings(endpoints)],
            }
        ],
    }


def discovery() -> list[Relabeling]:
    """How an annotated Service becomes targets, and which labels their series have."""
    return [
        {"source_labels": [f"{_ANNOTATION}scrape"], "regex": "true", "action": "keep"},
        # A pod that is done keeps its place in the slice of a Service that leads to unready pods too.
        {"source_labels": ["__meta_kubernetes_pod_phase"], "regex": "Succeeded|Failed", "action": "drop"},
        {"source_labels": [f"{_ANNOTATION}scheme"], "regex": "(https?)", "target_label": "__scheme__"},
        {"source_labels": [f"{_ANNOTATION}path"], "regex": "(.+)", "target_label": "__metrics_path__"},
        {
            "source_labels": ["__address__", f"{_ANNOTATION}port"],
            "regex": r"(.+?)(?::\d+)?;(\d+)",
            "target_label": "__address__",
            "replacement": "${1}:${2}",
        },
        {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
        {"source_labels": ["__meta_kubernetes_service_name"], "target_label": "service"},
        {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"},
        {"source_labels": ["__meta_kubernetes_service_name"], "target_label": "job"},
        {
            "source_labels": ["__meta_kubernetes_service_label_app_kubernetes_io_name"],
            "regex": "(.+)",
            "target_label": "job",
        },
    ]


def metric_relabelings(endpoints: Iterable[MetricsEndpoint]) -> list[Relabeling]:
    """What is done to series as they are read: the relabelings of all parts, each once."""
    result: list[Relabeling] = [*_OWN_SERIES]
    for endpoint in endpoints:
        result += [item for item in endpoint.relabelings if item not in result]
    return result


def rule_files(groups: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """A file for each group: one that cannot be read takes no other along."""
    return {f"{group['name']}.yaml": plain_yaml.text({"groups": [dict(group)]}) for group in groups}


def prometheus_arguments(standalone: Standalone) -> list[str]:
    """The command line of Prometheus."""
    return [
        "--config.file=/etc/prometheus/prometheus.yml",
        "--storage.tsdb.path=/prometheus",
        f"--storage.tsdb.retention.time={standalone.retention.days}d",
        f"--storage.tsdb.retention.size={to_bytes(standalone.retention.size)}B",
        f"--web.listen-address=:{PROMETHEUS_PORT}",
    ]


def alertmanager_config(standalone: Standalone, namespace: str) -> dict[str, Any]:
    """alertmanager.yml; the receiver's secret is a file of its own.

    Args:
        standalone: the settings.
        namespace: where the check's pod is for as long as the check takes.
    """
    sink = f"http://{CHECK_RECEIVER}.{namespace}.svc:{CHECK_PORT}/"
    told = {"name": "people"} if standalone.receiver is None else {"name": "people", **notified(standalone.receiver)}
    return {
        "route": {
            "receiver": "people",
            # What one failure makes fire is one message.
            "group_by": ["namespace", "job"],
            "group_wait": "15s",
            "group_interval": "2m",
            "repeat_interval": "4h",
            "routes": [
                {
                    "receiver": CHECK_RECEIVER,
                    "matchers": [f'alertname="{CHECK_ALERT}"'],
                    "group_wait": "0s",
                },
                # For dead man's switches: told often, and alone, so that silence means something.
                {"receiver": "people", "matchers": ['alertname="Watchdog"'], "repeat_interval": "5m"},
            ],
        },
        "receivers": [told, {"name": CHECK_RECEIVER, "webhook_configs": [{"url": sink, "send_resolved": False}]}],
        # Who is woken by an alert need not hear of its lesser kin in the same part.
        "inhibit_rules": [
            {
                "source_matchers": ['severity="page"'],
                "target_matchers": ['severity="ticket"'],
                "equal": ["namespace", "job", "alertname"],
            },
            {
                # Without it Pgpool-II serves nobody, and there is nothing else to be done.
                "source_matchers": ['alertname="PostgresNoPrimary"'],
                "target_matchers": ['alertname="PgpoolDown"'],
                "equal": ["namespace"],
            },
        ],
    }


def notified(receiver: Receiver) -> dict[str, Any]:
    """The receiver in Alertmanager's words."""
    if receiver.webhook is not None:
        return {"webhook_configs": [{"url_file": RECEIVER_FILE}]}
    if receiver.slack is not None:
        return {"slack_configs": [{"channel": receiver.slack.channel, "api_url_file": RECEIVER_FILE}]}
    if receiver.pagerduty is not None:
        return {"pagerduty_configs": [{"routing_key_file": RECEIVER_FILE}]}
    if receiver.email is None:
        raise ValueError("a receiver of no kind passed its check")
    email = receiver.email
    return {
        "email_configs": [
            {
                "to": email.to,
                "from": email.sender,
                "smarthost": email.smarthost,
                "auth_username": email.username,
                "auth_password_file": RECEIVER_FILE,
            }
        ]
    }


def alertmanager_files(standalone: Standalone, namespace: str) -> dict[str, str]:
    """The files of `alertmanager-config`; see `alertmanager_config`."""
    return {"alertmanager.yml": plain_yaml.text(alertmanager_config(standalone, namespace))}


def alertmanager_arguments() -> list[str]:
    """The command line of Alertmanager, which is alone and looks for no peers."""
    return [
        "--config.file=/etc/alertmanager/alertmanager.yml",
        "--storage.path=/alertmanager",
        f"--web.listen-address=:{ALERTMANAGER_PORT}",
        "--cluster.listen-address=",
    ]
