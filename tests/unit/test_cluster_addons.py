"""The objects that every embedded cluster starts with."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster import addons, instance
from cluster.addons import AddonImages
from cluster.images import Image

DEV = instance.get("dev")


@pytest.fixture(scope="module")
def objects() -> list[dict[str, Any]]:
    names = ("pause", "shell", "coredns", "local-path-provisioner", "traefik")
    images = AddonImages(*(Image(f"hotstack/{name}:0123456789ab", Path("Dockerfile"), Path()) for name in names))
    return list(yaml.safe_load_all(addons.manifests(DEV, images)))


def _all(objects: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [found for found in objects if found["kind"] == kind]


def test_the_deployments_that_health_waits_for_are_the_ones_there_are(objects: list[dict[str, Any]]) -> None:
    made = {(d["metadata"]["namespace"], d["metadata"]["name"]) for d in _all(objects, "Deployment")}
    assert made == set(addons.DEPLOYMENTS)


def test_every_pod_runs_an_image_that_is_built_here_as_nobody_in_particular(objects: list[dict[str, Any]]) -> None:
    for deployment in _all(objects, "Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in pod["containers"]:
            assert container["image"].startswith("hotstack/")
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]


def test_no_addon_may_do_everything(objects: list[dict[str, Any]]) -> None:
    for role in (*_all(objects, "ClusterRole"), *_all(objects, "Role")):
        for rule in role["rules"]:
            assert "*" not in (*rule["apiGroups"], *rule["resources"], *rule["verbs"])


def test_names_are_asked_for_where_the_kubelet_sends_pods(objects: list[dict[str, Any]]) -> None:
    services = {service["metadata"]["name"]: service for service in _all(objects, "Service")}
    assert services["kube-dns"]["spec"]["clusterIP"] == instance.DNS_SERVICE_IP


def test_the_ingress_controller_is_where_the_instance_says(objects: list[dict[str, Any]]) -> None:
    services = {service["metadata"]["name"]: service for service in _all(objects, "Service")}
    node_port = services["traefik"]["spec"]["ports"][0]["nodePort"]
    assert DEV.ingress_url == f"http://{DEV.node_address}:{node_port}"


def test_volumes_are_kept_in_the_instances_own_folder(objects: list[dict[str, Any]]) -> None:
    configs = {config["metadata"]["name"]: config for config in _all(objects, "ConfigMap")}
    assert str(DEV.volumes) in configs["local-path-config"]["data"]["config.json"]


def test_one_storage_class_is_the_default_and_works_for_pods_that_are_not_root(objects: list[dict[str, Any]]) -> None:
    (storage_class,) = _all(objects, "StorageClass")
    annotations = storage_class["metadata"]["annotations"]
    assert annotations["storageclass.kubernetes.io/is-default-class"] == "true"
    assert annotations["defaultVolumeType"] == "local"
    assert not storage_class.get("allowVolumeExpansion")
