"""Settings of `Monitoring`: a Prometheus of the stack's own, or objects for an operator that the cluster has."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from components.grafana import Grafana
from components.model import DnsLabel, Image, Memory, Resources, Settings, to_bytes
from components.slo import Slo

_USED_SHARE = 0.9  # of a volume: what is being compacted is there twice for a moment

HttpUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+(/\S*)?$")]
Address = Annotated[str, StringConstraints(pattern=r"^[^\s@<>]+@[^\s@<>]+$")]
HostAndPort = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?:[0-9]{1,5}$")]


class SecretReference(Settings):
    """One key of a Secret in the namespace of monitoring, which is yours to make there."""

    secret_name: DnsLabel = Field(description="Name of the Secret.")
    secret_key: str = Field(pattern=r"^[-._a-zA-Z0-9]+$", description="Its key.")


class WebhookReceiver(Settings):
    """Alerts as JSON to a URL of yours."""

    url: SecretReference = Field(description="Where the URL is: who knows it can send alerts there.")


class EmailReceiver(Settings):
    """Alerts by e-mail."""

    to: Address = Field(description="Who gets them.")
    sender: Address = Field(description="Whom they come from.")
    smarthost: HostAndPort = Field(description="The mail server, with its port: `mail.example.com:587`.")
    username: str = Field(min_length=1, description="Whom the server knows you as.")
    password: SecretReference


class SlackReceiver(Settings):
    """Alerts to a channel of Slack."""

    channel: str = Field(pattern=r"^[#@]\S+$", description="`#channel` or `@user`.")
    url: SecretReference = Field(description="Where the URL of the incoming webhook is.")


class PagerDutyReceiver(Settings):
    """Alerts to PagerDuty, by its Events API v2."""

    routing_key: SecretReference = Field(description="Where the integration's key is.")


class Receiver(Settings):
    """Who is told of alerts: exactly one of these."""

    webhook: WebhookReceiver | None = None
    email: EmailReceiver | None = None
    slack: SlackReceiver | None = None
    pagerduty: PagerDutyReceiver | None = None

    @property
    def secret(self) -> SecretReference:
        """What the receiver must know and nobody else."""
        if self.webhook is not None:
            return self.webhook.url
        if self.email is not None:
            return self.email.password
        if self.slack is not None:
            return self.slack.url
        if self.pagerduty is not None:
            return self.pagerduty.routing_key
        raise AssertionError("a receiver of no kind passed its check")

    @model_validator(mode="after")
    def _one_kind(self) -> "Receiver":
        given = [name for name in ("webhook", "email", "slack", "pagerduty") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"expected exactly one of `webhook`, `email`, `slack` and `pagerduty`, got {', '.join(given) or 'none'}"
            )
        return self


class Retention(Settings):
    """When series are forgotten: by whichever comes first."""

    days: int = Field(default=7, ge=1, le=3650, description="After so many days.")
    size: Memory = Field(default="1Gi", description="When they take more than this, the oldest first.")


class PrometheusStorage(Settings):
    """The volume of series."""

    size: Memory = Field(default="2Gi", description="Its size.")
    storage_class: str | None = Field(default=None, description="StorageClass; the cluster's default when not set.")


class Standalone(Settings):
    """A Prometheus and an Alertmanager of the stack's own; nothing else is needed."""

    prometheus_image: Image
    alertmanager_image: Image
    namespaces: list[DnsLabel] = Field(
        default=[],
        description="Further namespaces, which exist, whose annotated Services are scraped too, as `kube-system`.",
    )
    retention: Retention = Retention()
    storage: PrometheusStorage = PrometheusStorage()
    receiver: Receiver | None = Field(default=None, description="Who is told of alerts; nobody when not set.")
    grafana: Grafana | None = Field(default=None, description="Grafana beside it; none when not set.")
    prometheus_resources: Resources = Resources(memory="256Mi")
    alertmanager_resources: Resources = Resources(memory="64Mi")
    rollout_timeout_seconds: int = Field(default=300, ge=60, le=3600, description="How long `up` waits for the pods.")

    @model_validator(mode="after")
    def _series_fit_their_volume(self) -> "Standalone":
        size, volume = self.retention.size, self.storage.size
        if to_bytes(size) > _USED_SHARE * to_bytes(volume):
            raise ValueError(
                f"`retention.size` {size} leaves nothing of `storage.size` {volume} for what Prometheus writes "
                f"meanwhile: expected at most nine tenths of it"
            )
        return self


class Operator(Settings):
    """The cluster's prometheus-operator, which is told what to scrape, and when to alert."""

    labels: dict[str, str] = Field(
        default={}, description="Labels by which its Prometheus picks objects, as `release: kube-prometheus-stack`."
    )


class MonitoringSettings(Settings):
    """Settings of `Monitoring`."""

    mode: Literal["standalone", "operator"] = Field(
        description="A Prometheus of the stack's own, or ServiceMonitors and the like for the cluster's operator."
    )
    scrape_interval_seconds: int = Field(
        default=15, ge=5, le=300, description="How often metrics are read; rules are evaluated thrice as often."
    )
    slo: Slo = Slo()
    standalone: Standalone | None = Field(default=None, description="For mode `standalone`.")
    operator: Operator | None = Field(default=None, description="For mode `operator`.")

    @property
    def draws(self) -> bool:
        """Whether there is a Grafana to show dashboards."""
        return self.standalone is None or self.standalone.grafana is not None

    @model_validator(mode="after")
    def _part_of_its_mode(self) -> "MonitoringSettings":
        for mode in ("standalone", "operator"):
            if (self.mode == mode) != (getattr(self, mode) is not None):
                raise ValueError(f"expected `{mode}` with mode `{mode}`, and only then")
        return self
