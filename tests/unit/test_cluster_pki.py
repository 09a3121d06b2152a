"""Certificates and kubeconfigs of an instance."""

import ipaddress
import json
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import PolicyBuilder, Store

from cluster import instance, pki
from cluster.instance import Instance


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("state")
        patch.setenv("HOTSTACK_STATE", str(folder))
        for name in instance.NAMES:
            pki.ensure(instance.get(name))
    return folder


@pytest.fixture(params=instance.NAMES)
def made(request: pytest.FixtureRequest, state: Path, monkeypatch: pytest.MonkeyPatch) -> Instance:
    monkeypatch.setenv("HOTSTACK_STATE", str(state))
    return instance.get(request.param)


def _certificate(made: Instance, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((made.pki / f"{name}.crt").read_bytes())


def _verify(made: Instance, authority: str, name: str, host: str) -> None:
    store = Store([_certificate(made, authority)])
    subject = x509.IPAddress(ipaddress.ip_address(host)) if host[0].isdigit() else x509.DNSName(host)
    PolicyBuilder().store(store).build_server_verifier(subject).verify(_certificate(made, name), [])


def test_the_api_server_is_trusted_by_every_name_it_is_called(made: Instance) -> None:
    for host in ("127.0.0.1", "localhost", made.node_address, "10.96.0.1", "kubernetes.default.svc"):
        _verify(made, "ca", "apiserver", host)


def test_the_api_server_is_not_trusted_by_another_name(made: Instance) -> None:
    with pytest.raises(x509.verification.VerificationError):
        _verify(made, "ca", "apiserver", "example.org")


def test_a_client_of_kubernetes_is_no_client_of_etcd(made: Instance) -> None:
    _verify(made, "etcd-ca", "etcd", "127.0.0.1")
    with pytest.raises(x509.verification.VerificationError):
        _verify(made, "ca", "etcd", "127.0.0.1")


def test_the_kubelet_is_who_the_node_authorizer_expects(made: Instance) -> None:
    subject = _certificate(made, "kubelet").subject
    assert subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == f"system:node:{made.full_name}"
    assert subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == "system:nodes"


def test_nobody_else_can_read_keys_and_kubeconfigs(made: Instance) -> None:
    files = [path for path in made.folder.rglob("*") if path.is_file()]
    assert files
    assert {oct(path.stat().st_mode & 0o777) for path in files} == {"0o600"}
    assert oct(made.pki.stat().st_mode & 0o777) == "0o700"


def test_the_kubeconfig_is_whole_and_its_context_is_hotstack(made: Instance) -> None:
    kubeconfig = json.loads(made.kubeconfig.read_text())
    assert kubeconfig["current-context"] == "hotstack"
    reached_at = "127.0.0.1" if made.name == "dev" else made.node_address
    assert kubeconfig["clusters"][0]["cluster"]["server"] == f"https://{reached_at}:6443"
    assert set(kubeconfig["users"][0]["user"]) == {"client-certificate-data", "client-key-data"}


def test_openssl_accepts_key_and_certificate_as_a_pair(made: Instance) -> None:
    ssl.create_default_context(cafile=str(made.pki / "ca.crt")).load_cert_chain(
        made.pki / "admin.crt", made.pki / "admin.key"
    )


def test_a_second_call_keeps_what_there_is_and_makes_what_is_missing(made: Instance) -> None:
    before = {path: path.read_bytes() for path in made.pki.iterdir()}
    lost = made.pki / "kube-proxy.crt"
    lost.unlink()
    pki.ensure(made)
    after = {path: path.read_bytes() for path in made.pki.iterdir()}
    changed = {path.stem for path in before if before[path] != after[path]}
    assert changed == {"kube-proxy"}
    assert not list(made.folder.rglob("*.part"))
