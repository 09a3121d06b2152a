"""The lines of pgpool.conf and pool_hba.conf."""

from collections.abc import Mapping

import pulumi

from components.endpoints import PostgresEndpoint
from components.pgpool_settings import PgpoolSettings


def backend(node: int, endpoint: PostgresEndpoint, flag: str, weight: float) -> dict[str, pulumi.Input[str]]:
    """The parameters of one backend; a Service is never down, whatever happens to the pods behind it."""
    return {
        f"backend_hostname{node}": endpoint.host,
        f"backend_port{node}": str(endpoint.port),
        f"backend_weight{node}": f"{weight:g}",
        f"backend_flag{node}": flag,
    }


def pgpool_conf(values: Mapping[str, str]) -> str:
    """pgpool.conf with one line a parameter."""
    return "".join(f"{name} = '{value}'\n" for name, value in values.items())


def pool_hba_conf(settings: PgpoolSettings) -> str:
    """pool_hba.conf: the lines of the settings, or everybody by SCRAM."""
    kind = "host" if settings.tls_secret_name is None else "hostssl"
    return "".join(f"{line}\n" for line in settings.pool_hba or [f"{kind} all all all scram-sha-256"])
