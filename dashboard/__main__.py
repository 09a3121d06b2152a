"""`python -m dashboard --stack STACK`: draw the last hour of a running stack into build/dashboard.html."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import settings
from checks.kube import Kube, KubectlError
from checks.monitoring import SERVICES
from checks.outcome import CheckError
from checks.web import client
from components.dashboards import DASHBOARDS
from components.dashboards.model import Panel
from components.prometheus_config import PROMETHEUS_PORT
from dashboard.page import page
from dashboard.prometheus import Series, Window, series_of
from settings import StackSettings

OUTPUT = Path("build/dashboard.html")
SECONDS = 3600


def draw(stack: StackSettings, end: int) -> str:
    """The page of a running stack, for the hour before `end` in Unix seconds.

    Raises:
        CheckError: the stack has no Prometheus, or it does not answer.
    """
    where, monitoring = stack.kubernetes, stack.monitoring
    if monitoring is None:
        raise CheckError(f"the stack in {where.namespace} is not monitored: there is no `monitoring` in its stack file")
    service, step = SERVICES[monitoring.mode], monitoring.scrape_interval_seconds
    window = Window(end - SECONDS, end, step)
    kube = Kube(where.context, where.monitoring_namespace)
    try:
        with kube.port_forward(service, PROMETHEUS_PORT) as port, client(f"http://127.0.0.1:{port}") as prometheus:

            def answer(panel: Panel) -> Sequence[Series]:
                # Over four scrapes, as Grafana does: a rate outlives a scrape that fails.
                return series_of(panel, prometheus, window, namespace=where.namespace, rate_seconds=4 * step)

            return page(DASHBOARDS, window, where.namespace, answer)
    except KubectlError as error:
        raise CheckError(
            f"no Prometheus to ask: expected {service} in namespace {where.monitoring_namespace}, which is there once "
            f"the stack is up ({error})"
        ) from None


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit code is 1 when nothing could be drawn."""
    parser = argparse.ArgumentParser(prog="python -m dashboard", description=__doc__)
    parser.add_argument("--stack", default="dev", help="whose Pulumi.STACK.yaml says where it is (default: dev)")
    try:
        html = draw(settings.from_file(parser.parse_args(arguments).stack), int(time.time()))
    except (settings.SettingsError, CheckError) as error:
        print(f"dashboard: {error}", file=sys.stderr)
        return 1
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(html)
    print(OUTPUT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
