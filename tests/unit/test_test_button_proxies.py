"""The Test button, with something between Airflow and Milvus, or with something that TLS wants and does not get."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.rest import MilvusConfig, collections, errors
from tests.support.certificates import Authority
from tests.support.harness import LABELS, LOGIN, PASSWORD, Operating, Transport
from tests.support.scripted import Serve, ok, page

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def none_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def test_an_unknown_host(button: Callable[..., Any]) -> None:
    worked, message = button("nowhere.invalid")
    assert not worked
    assert "No connection to http://nowhere.invalid:19530: " in message
    assert f"Name or service not known. Is it up? Check {LABELS['host']} and {LABELS['port']}: " in message
    assert "The API server and the workers must both reach it." in message


def test_a_proxy_in_between(button: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{taken.getsockname()[1]}")
        worked, message = button("http://nowhere.invalid")  # whose name the proxy looks up
        assert not worked
        assert "the proxy (HTTPS_PROXY, HTTP_PROXY) refuses or cannot be reached" in message
        assert "NO_PROXY" in message


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_speaks_plain_http(
    serve: Serve, button: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    # Of the proxy's URL, it is the scheme that is wrong: nothing of Milvus's is.
    monkeypatch.setenv(f"{scheme.upper()}_PROXY", serve(ok([])).url.replace("http://", "https://"))
    worked, message = button(f"{scheme}://milvus.invalid")
    assert not worked
    assert "the proxy (HTTPS_PROXY, HTTP_PROXY) refuses or cannot be reached" in message
    assert "TLS" not in message
    assert LABELS["secure"] not in message
    for transport in (Transport("requests"), Transport("aiohttp")):
        found = transport.fail(MilvusConfig(f"{scheme}://milvus.invalid", retries=0), collections.list_())
        assert (type(found), found.transient) == (errors.ConnectError, True)
        assert "the proxy (" in str(found)


def test_proxy_settings_that_cannot_be_used(button: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")  # for which requests wants another package
    worked, message = button("http://milvus.invalid")
    assert not worked
    assert "the proxy settings (ALL_PROXY, HTTPS_PROXY, HTTP_PROXY) cannot be used" in message
    for transport in (Transport("requests"), Transport("aiohttp")):
        found = transport.fail(MilvusConfig("http://milvus.invalid"), collections.list_())
        assert (type(found), found.transient, found.attempts) == (errors.ConnectError, False, 1)
        assert "the proxy settings" in str(found)


def test_a_proxy_that_wants_a_login(serve: Serve, button: Callable[..., Any]) -> None:
    worked, message = button(serve(page(407, "Proxy Authentication Required")))
    assert not worked
    assert "wants credentials" in message
    assert "HTTP_PROXY" in message


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_that_wants_certificates_of_its_clients(
    version: ssl.TLSVersion, serve: Serve, button: Callable[..., Any], authority: Authority
) -> None:
    context = authority.server_context(mutual=True)
    context.minimum_version = context.maximum_version = version
    server = serve(ok([]), tls=context)
    worked, message = button(server, extra={"verify": str(authority.bundle)})
    assert not worked
    assert "None" not in message
    assert f"Set a valid {LABELS['client_cert']}. The server must know its CA." in message
    assert "Does the port speak TLS?" not in message
    path = authority.file("airflow")
    assert button(server, extra={"verify": str(authority.bundle), "client_cert": str(path)})[0]
    path.unlink()
    worked, message = button(server, extra={"verify": str(authority.bundle), "client_cert": str(path)})
    assert not worked
    assert message.startswith(f"Client certificate: No such file or directory. Set {LABELS['client_cert']} to a PEM")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_a_bundle_that_was_pasted_in(button: Callable[..., Any], authority: Authority) -> None:
    worked, message = button("https://milvus.invalid", extra={"verify": authority.bundle.read_text()})
    assert not worked
    assert f"{LABELS['verify']} (extra `verify`) must be true, false or the path of a CA bundle" in message
    assert len(message) < 500


@pytest.mark.parametrize("timeout", [1e10, 10**400, "1e300", "nan"])
def test_a_time_out_that_no_system_takes(timeout: Any, operating: Operating) -> None:
    operating.connect("http://127.0.0.1:1", extra={"timeout": timeout})
    worked, message = MilvusHook().test_connection()
    assert not worked
    assert f"{LABELS['timeout']} (extra `timeout`) must be a number" in message
    with pytest.raises(errors.InvalidParametersError, match="timeout"):
        MilvusHook().send(collections.list_())


@pytest.mark.usefixtures("pauses")
def test_a_connection_that_is_not_there_is_told_once() -> None:
    hook = MilvusHook("no_such_connection")
    for use in (lambda: hook.config, lambda: hook.send(collections.list_())):
        with pytest.raises(Exception, match="no_such_connection") as caught:
            use()
        assert str(caught.value).count("Add it on") == 1


def test_who_asks_is_not_told_who_asks(serve: Serve, button: Callable[..., Any]) -> None:
    worked, message = button(serve(page(407, f"no entry for {LOGIN}:{PASSWORD}")))
    assert not worked
    assert PASSWORD not in message
