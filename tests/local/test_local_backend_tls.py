"""``--backend https://…``: the engine must prove who it is, by the CAs of gRPC or by those of a file."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from airflow_vectordb.local import LocalMilvus, LocalMilvusError
from airflow_vectordb.local.engine.remote.rpc import ROOTS_VARIABLE
from tests.support.backend_engine import LiteEngine, lite_engine
from tests.support.local_api import Api

pytestmark = pytest.mark.slow  # each starts two servers


def _self_signed(address: str) -> tuple[bytes, bytes]:
    """A key, and a certificate of the server at this address that nobody else vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a Milvus")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    return (
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain),
        certificate.public_bytes(serialization.Encoding.PEM),
    )


@pytest.fixture(scope="module")
def certificate() -> tuple[bytes, bytes]:
    return _self_signed("127.0.0.1")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, certificate: tuple[bytes, bytes]) -> Iterator[LiteEngine]:
    credentials = grpc.ssl_server_credentials([certificate])
    with lite_engine(tmp_path_factory.mktemp("tls") / "data", credentials) as running:
        yield running


def _asked(backend: str) -> tuple[int, int]:
    """HTTP status and code of a call through our REST server."""
    with LocalMilvus(backend=backend, token=None) as front:
        client = Api(front.uri, "ada:Lovelace1")
        with client:
            response = client.post("databases/list", {}, Request_Timeout="10")
    return response.status, response.json()["code"]


def test_by_a_file_of_certificates(
    engine: LiteEngine, certificate: tuple[bytes, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots = tmp_path / "ca.pem"
    roots.write_bytes(certificate[1])
    monkeypatch.setenv(ROOTS_VARIABLE, str(roots))
    assert _asked(f"https://127.0.0.1:{engine.port}") == (200, 0)
    assert engine.last("ListDatabases").caller == "ada:Lovelace1"


def test_one_that_nobody_vouches_for(engine: LiteEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = len(engine.sent)
    monkeypatch.delenv(ROOTS_VARIABLE, raising=False)
    assert _asked(f"https://127.0.0.1:{engine.port}") == (503, 2)
    other = tmp_path / "other.pem"
    other.write_bytes(_self_signed("127.0.0.1")[1])
    monkeypatch.setenv(ROOTS_VARIABLE, str(other))
    assert _asked(f"https://127.0.0.1:{engine.port}") == (503, 2)
    # Nor is a token sent in the clear to one that speaks TLS.
    assert _asked(f"http://127.0.0.1:{engine.port}") == (503, 2)
    assert len(engine.sent) == before


def test_a_certificate_of_another_name(
    engine: LiteEngine, certificate: tuple[bytes, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots = tmp_path / "ca.pem"
    roots.write_bytes(certificate[1])
    monkeypatch.setenv(ROOTS_VARIABLE, str(roots))
    before = len(engine.sent)
    assert _asked(f"https://localhost:{engine.port}") == (503, 2)
    assert len(engine.sent) == before


def test_a_file_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ROOTS_VARIABLE, "/nowhere/ca.pem")
    with pytest.raises(LocalMilvusError, match=rf"{ROOTS_VARIABLE} names a file that cannot be read"):
        LocalMilvus(backend="https://127.0.0.1:1", token=None).start()
    # It is of no interest to a backend without TLS.
    with LocalMilvus(backend="http://127.0.0.1:1", token=None):
        pass
