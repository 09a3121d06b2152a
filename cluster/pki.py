"""Keys, certificates and kubeconfigs of an instance, made once and kept in its folder."""

import base64
import datetime
import ipaddress
import json
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cluster.files import write_whole
from cluster.instance import API_PORT, API_SERVICE_IP, Instance

_LIFETIME = datetime.timedelta(days=3650)  # longer than any development cluster
_CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
_SERVER = ExtendedKeyUsageOID.SERVER_AUTH
# In another CA than everything else: a client of etcd reads and writes whatever it likes.
_ETCD_AUTHORITY = "etcd-ca"
_AUTHORITY = "ca"


@dataclass(frozen=True)
class _Leaf:
    """A certificate to issue: `user` and `group` are what Kubernetes reads from its subject."""

    name: str
    user: str
    group: str | None = None
    hosts: tuple[str, ...] = ()  # names and addresses that it serves; none for a client only
    authority: str = _AUTHORITY


def _leaves(instance: Instance) -> tuple[_Leaf, ...]:
    api_hosts = (
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "localhost",
        "127.0.0.1",
        API_SERVICE_IP,
        instance.node_address,
    )
    node_hosts = (instance.full_name, instance.node_address)
    return (
        _Leaf("apiserver", "kube-apiserver", hosts=api_hosts),
        _Leaf("apiserver-to-kubelet", "kube-apiserver", "system:masters"),
        _Leaf("kubelet", f"system:node:{instance.full_name}", "system:nodes", node_hosts),
        _Leaf("kube-controller-manager", "system:kube-controller-manager"),
        _Leaf("kube-scheduler", "system:kube-scheduler"),
        _Leaf("kube-proxy", "system:kube-proxy"),
        _Leaf("kube-router", "kube-router"),
        _Leaf("admin", "admin", "system:masters"),
        _Leaf("etcd", "etcd", hosts=("127.0.0.1",), authority=_ETCD_AUTHORITY),
        _Leaf("apiserver-to-etcd", "kube-apiserver", authority=_ETCD_AUTHORITY),
    )


_KUBECONFIGS = ("admin", "kubelet", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kube-router")


def ensure(instance: Instance) -> None:
    """Make whatever is missing of the instance's keys, certificates and kubeconfigs; what is there stays."""
    folder = instance.pki
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for authority in (_AUTHORITY, _ETCD_AUTHORITY):
        if not (folder / f"{authority}.crt").exists():
            _make_authority(folder, authority)
    for leaf in _leaves(instance):
        if not (folder / f"{leaf.name}.crt").exists():
            _issue(folder, leaf)
    if not (folder / "service-account.pub").exists():
        key = _make_key(folder / "service-account.key")
        write_whole(folder / "service-account.pub", _public_pem(key))
    for user in _KUBECONFIGS:
        _write_kubeconfig(instance, folder / f"{user}.kubeconfig", user, instance.api_url)
    published = API_PORT in instance.published_ports
    _write_kubeconfig(
        instance, instance.kubeconfig, "admin", f"https://127.0.0.1:{API_PORT}" if published else instance.api_url
    )


def _make_authority(folder: Path, name: str) -> None:
    key = _make_key(folder / f"{name}.key")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"hotstack {name}")])
    usage = _key_usage(signs_certificates=True)
    builder = _builder(subject, subject, key).add_extension(usage, critical=True)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    write_whole(folder / f"{name}.crt", builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


def _issue(folder: Path, leaf: _Leaf) -> None:
    authority = x509.load_pem_x509_certificate((folder / f"{leaf.authority}.crt").read_bytes())
    pem = (folder / f"{leaf.authority}.key").read_bytes()
    authority_key = cast(ec.EllipticCurvePrivateKey, serialization.load_pem_private_key(pem, password=None))
    subject = [x509.NameAttribute(NameOID.COMMON_NAME, leaf.user)]
    if leaf.group:
        subject.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, leaf.group))
    key = _make_key(folder / f"{leaf.name}.key")
    purposes = [_CLIENT, _SERVER] if leaf.hosts else [_CLIENT]
    builder = _builder(x509.Name(subject), authority.subject, key)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    issued_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    builder = builder.add_extension(issued_by, critical=False)
    if leaf.hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(map(_host, leaf.hosts))), critical=False)
    certificate = builder.sign(authority_key, hashes.SHA256())
    # The certificate is written last: its being there says that the pair is complete.
    write_whole(folder / f"{leaf.name}.crt", certificate.public_bytes(serialization.Encoding.PEM))


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    # An hour back, for a clock that is set while the machine starts.
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    return x509.CertificateBuilder(
        subject_name=subject,
        issuer_name=issuer,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=start,
        not_valid_after=start + _LIFETIME,
    )


def _key_usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _make_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_whole(path, pem)
    return key


def _public_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _write_kubeconfig(instance: Instance, path: Path, user: str, server: str) -> None:
    def embedded(name: str) -> str:
        return base64.b64encode((instance.pki / name).read_bytes()).decode()

    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "hotstack",
        "clusters": [
            {"name": "hotstack", "cluster": {"server": server, "certificate-authority-data": embedded("ca.crt")}}
        ],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": embedded(f"{user}.crt"),
                    "client-key-data": embedded(f"{user}.key"),
                },
            }
        ],
        "contexts": [{"name": "hotstack", "context": {"cluster": "hotstack", "user": user}}],
    }
    write_whole(path, json.dumps(kubeconfig, indent=2))
