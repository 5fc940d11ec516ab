"""Certificates of one's own CA, and ports that speak another protocol than the URL says."""

from __future__ import annotations

import ssl
import sys
from pathlib import Path

import pytest

from airflow_vectordb._compat import AirflowException, AirflowFailException
from airflow_vectordb.rest import MilvusConfig, collections, errors
from tests.support.certificates import Authority
from tests.support.harness import Operating, Pauses, Transport
from tests.support.scripted import CutOff, Raw, ScriptedServer, Serve, ok

LIST = collections.list_()
INSECURE = pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
# Python 3.10 warns of its own transports when the server ends in the wrong place.
OLD_PYTHON = pytest.mark.filterwarnings(
    f"{'ignore' if sys.version_info < (3, 11) else 'error'}::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def server(serve: Serve, authority: Authority) -> ScriptedServer:
    return serve(ok(["docs"]), tls=authority.server_context())


def test_a_bundle_of_ones_own(transport: Transport, server: ScriptedServer, authority: Authority) -> None:
    config = MilvusConfig(server.url, token="ada:s3cret", verify=str(authority.bundle))

    assert transport.send(config, LIST, LIST) == [["docs"], ["docs"]]

    assert server.connections == 1


def test_the_scheme_may_be_in_capitals(transport: Transport, server: ScriptedServer, authority: Authority) -> None:
    url = server.url.replace("https", "HTTPS")
    assert transport.send(MilvusConfig(url, verify=str(authority.bundle)), LIST) == [["docs"]]


def test_an_unknown_authority(transport: Transport, server: ScriptedServer, pauses: Pauses) -> None:
    found = transport.fail(MilvusConfig(server.url, token="ada:s3cret"), LIST)

    assert type(found) is errors.TlsError
    assert not found.transient
    assert found.attempts == server.connections == 1
    assert pauses == []
    assert server.requests == []
    assert "certificate" in str(found)
    assert "`verify`" in str(found)


@INSECURE
def test_without_verification(transport: Transport, server: ScriptedServer) -> None:
    assert transport.send(MilvusConfig(server.url, verify=False), LIST) == [["docs"]]


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_bundle_of_the_environment(
    transport: Transport, server: ScriptedServer, authority: Authority, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, str(authority.bundle))
    assert transport.send(MilvusConfig(server.url), LIST) == [["docs"]]


@INSECURE
def test_the_endpoint_wins_over_the_environment(
    transport: Transport, server: ScriptedServer, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.bundle.with_name("nowhere.pem")))
    assert transport.send(MilvusConfig(server.url, verify=str(authority.bundle)), LIST) == [["docs"]]
    assert transport.send(MilvusConfig(server.url, verify=False), LIST) == [["docs"]]


@pytest.mark.parametrize(
    ("address", "days", "words", "advice"),
    [
        ("127.0.0.2", 30, "127.0.0.1", "Set host to one of the certificate's names."),
        ("127.0.0.1", -1, "expired", "certificate has expired. Renew it. "),
    ],
)
def test_a_certificate_that_does_not_hold(
    transport: Transport, serve: Serve, authority: Authority, address: str, days: int, words: str, advice: str
) -> None:
    server = serve([], tls=authority.server_context(address, days=days))

    found = transport.fail(MilvusConfig(server.url, verify=str(authority.bundle)), LIST)

    assert type(found) is errors.TlsError
    assert words in found.message
    assert advice in str(found)[:100]
    assert found.attempts == server.connections == 1


@INSECURE
@pytest.mark.parametrize("verify", [True, False])
def test_a_client_certificate(transport: Transport, serve: Serve, authority: Authority, verify: bool) -> None:
    server = serve(ok(["docs"]), tls=authority.server_context(mutual=True))
    config = MilvusConfig(
        server.url, verify=verify and str(authority.bundle), client_cert=str(authority.file("airflow"))
    )
    assert transport.send(config, LIST, LIST) == [["docs"], ["docs"]]
    assert server.connections == 1


@pytest.mark.parametrize(
    ("days", "alert"),
    [(None, "HANDSHAKE_FAILURE"), (-1, "CERTIFICATE_EXPIRED"), (30, "UNKNOWN_CA")],
    ids=["none", "expired", "of another authority"],
)
def test_a_client_certificate_that_the_server_refuses(
    transport: Transport, serve: Serve, authority: Authority, tmp_path: Path, days: int | None, alert: str
) -> None:
    context = authority.server_context(mutual=True)
    # In TLS 1.3, asyncio may see the end of the connection before the alert; then there is another attempt.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    server = serve([], tls=context)
    issuer = Authority(tmp_path) if days == 30 else authority
    cert = None if days is None else str(issuer.file("refused", days=days))

    found = transport.fail(MilvusConfig(server.url, verify=str(authority.bundle), client_cert=cert), LIST)

    assert type(found) is errors.TlsError
    assert alert in found.message
    assert "Set a valid `client_cert`" in str(found)[:100]
    assert found.attempts == server.connections == 1


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("missing", "No such file or directory"),
        ("folder", "Is a directory"),
        ("empty", "none with its private key"),
        ("certificate", "none with its private key"),
        ("mixed", "none with its private key"),
        ("encrypted", "its key must be unencrypted"),
    ],
)
def test_a_client_certificate_that_cannot_be_used(
    transport: Transport, server: ScriptedServer, authority: Authority, tmp_path: Path, file: str, reason: str
) -> None:
    good, other = (authority.file(name).read_text() for name in ("one", "other"))
    path = authority.file("encrypted", password=b"s3cret") if file == "encrypted" else tmp_path / f"{file}.pem"
    if file == "folder":
        path.mkdir()
    elif file not in ("missing", "encrypted"):
        certificate = good[good.index("-----BEGIN CERT") :]
        key = other[: other.index("-----BEGIN CERT")]
        path.write_text({"empty": "", "certificate": certificate, "mixed": key + certificate}[file])

    found = transport.fail(MilvusConfig(server.url, verify=str(authority.bundle), client_cert=str(path)), LIST)

    assert type(found) is errors.TlsError
    cause = f"Client certificate: {reason}. Set `client_cert` to a PEM of certificate and key."
    assert str(found).startswith(cause)
    assert len(cause) <= 100
    assert str(path) in str(found)
    assert (found.attempts, server.connections) == (1, 0)


def test_a_bundle_that_may_not_be_read(
    transport: Transport, server: ScriptedServer, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", refuse)
    found = transport.fail(MilvusConfig(server.url, verify=str(authority.bundle)), LIST)
    assert type(found) is errors.TlsError
    assert found.message == f"no usable CA bundle at {str(authority.bundle)!r}"


@pytest.mark.parametrize("contents", [None, "not a certificate", ""])
def test_a_bundle_that_is_none(
    transport: Transport, server: ScriptedServer, tmp_path: Path, pauses: Pauses, contents: str | None
) -> None:
    bundle = tmp_path / "bundle.pem"
    if contents is not None:
        bundle.write_text(contents)

    found = transport.fail(MilvusConfig(server.url, verify=str(bundle)), LIST)

    assert type(found) is errors.TlsError
    assert str(bundle) in str(found)
    assert found.attempts == 1
    assert server.requests == []


def test_tls_to_a_plain_port(transport: Transport, serve: Serve, pauses: Pauses) -> None:
    server = serve(ok([]))

    found = transport.fail(MilvusConfig(server.url.replace("http:", "https:")), LIST)

    assert type(found) is errors.TlsError
    assert "`secure`" in str(found)
    assert found.attempts == server.connections == 1


def test_plain_http_to_a_tls_port(transport: Transport, server: ScriptedServer, pauses: Pauses) -> None:
    found = transport.fail(MilvusConfig(server.url.replace("https:", "http:"), retries=1), LIST)

    assert isinstance(found, errors.NoAnswerError)
    assert len(str(found)) < 500
    assert str(found).isprintable()


@OLD_PYTHON
@pytest.mark.parametrize("behaviour", [Raw(b""), CutOff(b"", reset=True)], ids=["closed", "reset"])
def test_an_end_after_the_handshake_may_pass(
    transport: Transport, serve: Serve, authority: Authority, pauses: Pauses, behaviour: Raw | CutOff
) -> None:
    server = serve([behaviour, ok(["docs"])], tls=authority.server_context())

    assert transport.send(MilvusConfig(server.url, verify=str(authority.bundle)), LIST) == [["docs"]]

    assert len(server.requests) == 2


def test_the_connections_verify(
    serve: Serve, server: ScriptedServer, authority: Authority, operating: Operating
) -> None:
    operating.connect(f"127.0.0.1:{server.port}", extra={"secure": True})
    with pytest.raises(AirflowFailException, match="certificate"):
        operating.execute(operating.operator())
    assert server.connections == 1

    operating.connect(f"127.0.0.1:{server.port}", extra={"secure": True, "verify": str(authority.bundle)})
    with pytest.raises(AirflowException):
        operating.execute(operating.operator())
    assert server.paths[0] == "collections/describe"
