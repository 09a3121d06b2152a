"""What Pgpool-II would silently ignore or misread: names and values of its parameters, and lines of pool_hba.conf.

An unknown parameter is one line in its log, a misspelled `off` counts as on, and one wrong line makes it drop the whole
pool_hba.conf and refuse everybody. Hence all of it is checked before anything is deployed.
"""

import functools
import ipaddress
import json
import re
from pathlib import Path
from typing import Any

_FILES = Path(__file__).parent / "pgpool_files"
_BOOLEANS = ("on", "off", "true", "false", "yes", "no")
# What a number of that unit may be followed by; a multiple is for Pgpool-II to compute.
_UNITS = dict.fromkeys(("B", "kB"), ("B", "kB", "MB", "GB", "TB")) | dict.fromkeys(
    ("ms", "s", "min"), ("us", "ms", "s", "min", "h", "d")
)
_HBA_TYPES = ("host", "hostssl", "hostnossl")
_HBA_METHODS = ("scram-sha-256", "reject")
_HBA_ADDRESSES = ("all", "samehost", "samenet")
_HBA_NAMES = re.compile(r'[\w.$-]+|"[\w.$ -]+"')


@functools.cache
def _catalog(version: str) -> dict[str, Any]:
    return json.loads((_FILES / f"parameters-{version}.json").read_text())


def parameter_problem(version: str, name: str, value: str) -> str | None:
    """Why Pgpool-II would not do what a parameter says; `None` when it would.

    Args:
        version: major version of Pgpool-II: `4.6`.
        name: of the parameter, with the number of the node where it has one: `backend_hostname0`.
        value: as it would stand between the quotes of pgpool.conf.

    Returns:
        What was expected instead, to follow "got …; ".
    """
    catalog = _catalog(version)
    if "'" in value or not value.isprintable():
        return "expected no quote and no control character: pgpool.conf has no way to write them"
    if name in catalog["bool"] and value not in _BOOLEANS:
        return f"expected one of {', '.join(_BOOLEANS)}: Pgpool-II takes everything else for `on`"
    if name in catalog["choice"] and value not in catalog["choice"][name]:
        return f"expected one of {', '.join(catalog['choice'][name])}"
    if name in catalog["number"]:
        return _number_problem(value, *catalog["number"][name])
    known = (*catalog["bool"], *catalog["choice"], *catalog["text"])
    if name not in known and name.rstrip("0123456789") not in catalog["per_node"]:
        return f"Pgpool-II {version} has no parameter of that name, and would ignore it"
    return None


def _number_problem(value: str, lowest: int, highest: int, unit: str | None = None) -> str | None:
    units = _UNITS[unit] if unit else ()
    number = re.fullmatch(r"(-?[0-9]+)([A-Za-z]*)", value)
    if number is None or number[2] not in ("", *units):
        return "expected a whole number" + (f", or one with a unit ({', '.join(units)})" if units else "")
    if not number[2] and not lowest <= int(number[1]) <= highest:
        return f"expected {lowest} to {highest}"
    return None


def hba_problem(line: str, tls: bool) -> str | None:
    """Why a line of pool_hba.conf would be dropped or never match, or is refused here; `None` for a good one.

    Args:
        line: type, database, user, address and method.
        tls: whether Pgpool-II shows its clients a certificate.
    """
    fields = line.split()
    if len(fields) != 5:
        return "expected five fields: type, database, user, address and method"
    kind, databases, users, address, method = fields
    if kind not in _HBA_TYPES:
        return f"type {kind}; expected one of {', '.join(_HBA_TYPES)}"
    if kind == "hostssl" and not tls:
        return "type hostssl, and no client could speak TLS: expected `tlsSecretName` to be set, or type host"
    for name in (*databases.split(","), *users.split(",")):
        # @files, +groups and samerole are PostgreSQL's; Pgpool-II has none of them.
        if not _HBA_NAMES.fullmatch(name) or name in ("samegroup", "samerole"):
            return f"{name}; expected names of databases and of users, or all: Pgpool-II knows no files and no groups"
    if address not in _HBA_ADDRESSES and not _is_range(address):
        return f"address {address}; expected one of {', '.join(_HBA_ADDRESSES)}, or a range like 10.0.0.0/8"
    if method not in _HBA_METHODS:
        return f"method {method}; expected one of {', '.join(_HBA_METHODS)}: no other keeps a password to itself"
    return None


def _is_range(address: str) -> bool:
    if "/" not in address:
        return False
    try:
        ipaddress.ip_network(address, strict=False)
    except ValueError:
        return False
    return True
