"""A Pgpool-II of a check's own: like those of the stack, configured otherwise, in no Service, gone afterwards."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager

from checks.kube import Kube, Object

NAME = "pgpool-check"
_VARIABLE = "PGPOOL_PARAMS_"
_LIFETIME = 600  # seconds, for a pod that an interrupted check leaves behind


def in_use(kube: Kube) -> dict[str, str]:
    """The parameters that the stack's pods are given, by name, from whichever place they come."""
    container = _pgpool(_template(kube)["spec"])
    variables = {
        variable["name"].removeprefix(_VARIABLE).lower(): variable.get("value", "")
        for variable in container["env"]
        if variable["name"].startswith(_VARIABLE)
    }
    return variables or parse(kube.get("configmap", "pgpool-config")["data"]["pgpool.conf"])


def parse(text: str) -> dict[str, str]:
    """The values of a pgpool.conf by name: `parse("port = '9999'\\n") == {"port": "9999"}`."""
    lines = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.lstrip().startswith("#"))
    return {name.strip(): value.strip().strip("'") for name, value in lines}


@contextmanager
def temporary(kube: Kube, way: str, parameters: Mapping[str, str]) -> Generator[str, None, None]:
    """Run a pod with these parameters, given in one of the two ways, and yield its address while the block runs.

    Args:
        kube: of the stack.
        way: `config_map` or `environment`.
        parameters: all that Pgpool-II is given.
    """
    manifests = [_config_map(parameters)] if way == "config_map" else []
    with kube.temporary(*manifests, pod(_template(kube), way, parameters)):
        yield kube.get("pod", NAME)["status"]["podIP"]


def pod(template: Object, way: str, parameters: Mapping[str, str]) -> Object:
    """A pod from the template of the stack's own, with other parameters.

    It keeps the labels that let it reach PostgreSQL, and loses those that the Service selects.
    """
    spec, metadata = template["spec"], template["metadata"]
    container = _pgpool(spec)
    labels = {name: value for name, value in metadata["labels"].items() if name.endswith("-client")}
    environment = [variable for variable in container["env"] if not variable["name"].startswith(_VARIABLE)]
    sources = [
        source
        for volume in spec["volumes"]
        if volume["name"] == "config"
        for source in volume["projected"]["sources"]
        if "configMap" not in source
    ]
    if way == "config_map":
        sources.append({"configMap": {"name": NAME}})
    else:
        environment += [{"name": f"{_VARIABLE}{name.upper()}", "value": value} for name, value in parameters.items()]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    others = [volume for volume in spec["volumes"] if volume["name"] in mounted - {"config"}]
    mounts = [mount for mount in container["volumeMounts"] if mount["name"] != "config"]
    if sources:
        others.append({"name": "config", "projected": {"defaultMode": 0o440, "sources": sources}})
        mounts.append({"name": "config", "mountPath": "/config", "readOnly": True})
    # The wait before a stop is for clients of a Service.
    kept = {name: value for name, value in container.items() if name != "lifecycle"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": NAME, "labels": labels},
        "spec": {
            **{name: value for name, value in spec.items() if name != "topologySpreadConstraints"},
            "activeDeadlineSeconds": _LIFETIME,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "containers": [{**kept, "env": environment, "volumeMounts": mounts}],
            "volumes": others,
        },
    }


def _pgpool(spec: Object) -> Object:
    """The container of Pgpool-II, which an exporter may be beside."""
    return next(container for container in spec["containers"] if container["name"] == "pgpool")


def _template(kube: Kube) -> Object:
    return kube.get("deployment", "pgpool")["spec"]["template"]


def _config_map(parameters: Mapping[str, str]) -> Object:
    lines = "".join(f"{name} = '{value}'\n" for name, value in parameters.items())
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}, "data": {"pgpool.conf": lines}}
