"""Objectives of the service, and the rules that tell when their error budget burns too fast.

What may fail in 30 days is the budget: 0.1 % of all requests for an objective of 99.9 %. An alert fires when both of
its windows burn the budget so many times faster than it would last: the long one so that it matters, the short one so
that it clears soon after the failure has ended. The factors are those of Google's SRE workbook, chapter 5.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import Field, model_validator

from components.model import Settings

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""What the service's histogram can tell apart, in seconds; its own tests hold it to the same list."""
FEWEST_FAILURES = 10
"""In the long window: a single failure at night is a large share of few requests, and nothing to wake anybody for."""
_LEAST_OBJECTIVE = 95.0  # below 93.1 the fastest alert would wait for more failures than there are requests
_PROBES = "/livez|/readyz|/metrics"

Rule = dict[str, Any]
Group = dict[str, Any]


class Latency(Settings):
    """How fast the service answers."""

    seconds: float = Field(default=0.25, description="An answer that takes longer is slow; a bucket's bound.")
    objective: float = Field(
        default=99.0, ge=_LEAST_OBJECTIVE, lt=100, description="Percent of requests that are not slow."
    )

    @model_validator(mode="after")
    def _is_a_bucket(self) -> "Latency":
        if self.seconds not in BUCKETS:
            bounds = ", ".join(f"{bound:g}" for bound in BUCKETS)
            raise ValueError(f"`seconds` {self.seconds:g} is not measured: expected one of {bounds}")
        return self


class Slo(Settings):
    """What the service promises, over 30 days; probes and scrapes do not count."""

    availability: float = Field(
        default=99.9, ge=_LEAST_OBJECTIVE, lt=100, description="Percent of requests that are not answered with 5xx."
    )
    latency: Latency = Latency()


@dataclass(frozen=True, kw_only=True, slots=True)
class Burn:
    """A speed at which the budget burns, and when it is too long of it.

    Attributes:
        factor: how many times faster than the budget would last.
        long: window; also the label of the alert, `window`.
        short: window.
        severity: of the alert.
    """

    factor: float
    long: str
    short: str
    severity: str


BURNS = (
    Burn(factor=14.4, long="1h", short="5m", severity="page"),
    Burn(factor=6, long="6h", short="30m", severity="page"),
    Burn(factor=1, long="3d", short="6h", severity="ticket"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Indicator:
    """What is counted: `bad` of the requests, as PromQL for a rate over five minutes."""

    alert: str
    name: str
    objective: float
    bad: str
    what: str


def groups(slo: Slo, namespace: str, interval: int) -> list[Group]:
    """The groups of rules in Prometheus' own format: one for the fastest burn, one for those that have time.

    Args:
        slo: the objectives.
        namespace: where the service is.
        interval: seconds from one evaluation of the first group to the next.
    """
    where = f'namespace="{namespace}", job="fastapi"'
    requests = f'{where}, route!~"{_PROBES}"'
    indicators = _indicators(slo, requests)
    all_requests = f"sum by (namespace, job) (rate(http_requests_total{{{requests}}}[5m]))"
    fast: list[Rule] = [{"record": "fastapi:requests:rate5m", "expr": all_requests}]
    slow: list[Rule] = []
    for indicator in indicators:
        fast += [
            *_rates(indicator, where),
            _ratio(indicator, where, "1h"),
            _alert(indicator, where, interval, BURNS[0]),
        ]
        slow += [_ratio(indicator, where, window) for window in ("30m", "6h", "3d")]
        slow += [_alert(indicator, where, interval, burn) for burn in BURNS[1:]]
    return [
        {"name": "fastapi-slo", "interval": f"{interval}s", "rules": fast},
        {"name": "fastapi-slo-slow", "interval": "2m", "rules": slow},
    ]


def _indicators(slo: Slo, requests: str) -> tuple[_Indicator, ...]:
    bound = slo.latency.seconds
    measured = "http_request_duration_seconds"
    return (
        _Indicator(
            alert="FastapiAvailabilityBudgetBurns",
            name="failed",
            objective=slo.availability,
            bad=f'sum by (namespace, job) (rate(http_requests_total{{{requests}, status=~"5.."}}[5m]))',
            what="of requests are answered with 5xx",
        ),
        _Indicator(
            alert="FastapiLatencyBudgetBurns",
            name="slow",
            objective=slo.latency.objective,
            bad=f"sum by (namespace, job) (rate({measured}_count{{{requests}}}[5m]))"
            f' - sum by (namespace, job) (rate({measured}_bucket{{{requests}, le="{bound}"}}[5m]))',
            what=f"of requests take longer than {bound:g} s",
        ),
    )


def _rates(indicator: _Indicator, where: str) -> Iterator[Rule]:
    """Bad requests a second, and their share of all."""
    bad, everything = f"fastapi:requests_{indicator.name}:rate5m", "fastapi:requests:rate5m"
    # A service that never failed has no series of failures: that is 0, and not nothing.
    yield {"record": bad, "expr": f"{indicator.bad}\n  or 0 * {everything}{{{where}}}"}
    yield {
        "record": f"fastapi:requests_{indicator.name}:ratio5m",
        "expr": f"{bad}{{{where}}} / {everything}{{{where}}}",
    }


def _ratio(indicator: _Indicator, where: str, window: str) -> Rule:
    """The share in a longer window, from what the short one recorded.

    To read days of raw counters again and again would cost more than everything else together.
    """
    bad = f"sum_over_time(fastapi:requests_{indicator.name}:rate5m{{{where}}}[{window}])"
    everything = f"sum_over_time(fastapi:requests:rate5m{{{where}}}[{window}])"
    return {"record": f"fastapi:requests_{indicator.name}:ratio{window}", "expr": f"{bad}\n  / {everything}"}


def _alert(indicator: _Indicator, where: str, interval: int, burn: Burn) -> Rule:
    budget = round(1 - indicator.objective / 100, 6)
    limit = f"{burn.factor * budget:.6g}"
    ratio = f"fastapi:requests_{indicator.name}:ratio"
    failures = f"sum_over_time(fastapi:requests_{indicator.name}:rate5m{{{where}}}[{burn.long}])"
    return {
        "alert": indicator.alert,
        "expr": f"{ratio}{burn.long}{{{where}}} > {limit}\n"
        f"  and {ratio}{burn.short}{{{where}}} > {limit}\n"
        f"  and {failures} * {interval} >= {FEWEST_FAILURES}",
        "labels": {"severity": burn.severity, "window": burn.long},
        "annotations": {
            "summary": f"The service burns its error budget at over {burn.factor:g} times the speed that it lasts for.",
            "description": f"{{{{ $value | humanizePercentage }}}} {indicator.what} in {burn.long}; the objective of "
            f"{indicator.objective:g} % allows {budget * 100:.4g} %.",
        },
    }
