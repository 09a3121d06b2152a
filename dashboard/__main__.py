"""`python -m dashboard --stack STACK`: draw the last hour of a running stack into build/dashboard.html."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import settings
from checks.kube import Kube, KubectlError
from checks.outcome import CheckError
from checks.web import client
from components.dashboards import DASHBOARDS
from components.dashboards.model import Panel
from dashboard.page import page
from dashboard.prometheus import Series, Window, series_of
from settings import KubernetesSettings

OUTPUT = Path("build/dashboard.html")
SERVICE, PORT = "svc/prometheus", 9090
SECONDS = 3600
STEP = 15
RATE_SECONDS = 60  # four scrapes: a rate outlives one that fails


def draw(where: KubernetesSettings, window: Window) -> str:
    """The page of a running stack, from its Prometheus.

    Raises:
        CheckError: there is no Prometheus, or it does not answer.
    """
    kube = Kube(where.context, where.monitoring_namespace)
    try:
        with kube.port_forward(SERVICE, PORT) as port, client(f"http://127.0.0.1:{port}") as prometheus:

            def answer(panel: Panel) -> Sequence[Series]:
                return series_of(panel, prometheus, window, namespace=where.namespace, rate_seconds=RATE_SECONDS)

            return page(DASHBOARDS, window, where.namespace, answer)
    except KubectlError as error:
        raise CheckError(
            f"no Prometheus to ask in namespace {where.monitoring_namespace}: expected {SERVICE}, which a stack has "
            f"whose `monitoring.mode` is `standalone`, once it is up ({error})"
        ) from None


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit code is 1 when nothing could be drawn."""
    parser = argparse.ArgumentParser(prog="python -m dashboard", description=__doc__)
    parser.add_argument("--stack", default="dev", help="whose Pulumi.STACK.yaml says where it is (default: dev)")
    now = int(time.time()) // STEP * STEP
    try:
        stack = settings.from_file(parser.parse_args(arguments).stack)
        html = draw(stack.kubernetes, Window(now - SECONDS, now, STEP))
    except (settings.SettingsError, CheckError) as error:
        print(f"dashboard: {error}", file=sys.stderr)
        return 1
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(html)
    print(OUTPUT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
