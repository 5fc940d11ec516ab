"""Proxies of the environment: the same in worker, triggerer and Test button, and never a word of their URLs."""

from __future__ import annotations

import socket
import threading
import traceback
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.rest import MilvusConfig, collections, errors
from airflow_vectordb.rest.hosts import read_proxy
from airflow_vectordb.rest.http.call import Call
from tests.support.drivers import end_of, trigger_of
from tests.support.harness import Logged, Operating, Pauses, Transport
from tests.support.scripted import Serve, ok

LIST: Call[Any] = collections.list_()
SECRET = "pr0xy"  # what no message may have; short, so that a half of it would be of no use
WORDS = "the proxy settings (ALL_PROXY, HTTPS_PROXY, HTTP_PROXY) cannot be used"

MALFORMED = [
    f"http://mallory:{SECRET}#x@127.0.0.1:3128",
    f"http://mallory:x#{SECRET}@127.0.0.1:3128",
    f"http://mallory:{SECRET}/x@127.0.0.1:3128",
    f"http://mallory:3128/{SECRET}@127.0.0.1:3128",
    f"http://mallory:{SECRET}?x@127.0.0.1:3128",
    f"http://mallory:{SECRET}\\x@127.0.0.1:3128",
    f"http://mallory:{SECRET} x@127.0.0.1:3128",
    f"http://mallory:{SECRET}@127.0.0.1:99999",
    f"http://mallory:{SECRET}@127.0.0.1:abc",
    f"http://mallory:{SECRET}@127.0.0.1:0",
    f"http://mallory:{SECRET}@127.0.0.1:-1",
    f"http://mallory:{SECRET}@127.0.0.1:²",
    f"http://mallory:{SECRET}@127.0.0.1:{'9' * 5000}",
    f"http://mallory:{SECRET}@127.0.0.1:1:2",
    f"http://mallory:{SECRET}@127.0.0.1:3128/path",
    f"http://mallory:{SECRET}@127.0.0.1:3128#x",
    f"http://mallory:{SECRET}@",
    f"http://mallory:{SECRET}@:3128",
    f"http://mallory:{SECRET}@a..b:3128",
    f"http://mallory:{SECRET}@a b:3128",
    f"http://mallory:{SECRET}@{'a' * 64}:3128",
    f"http://mallory:{SECRET}@[::1:3128",
    f"http://mallory:{SECRET}@::1:3128",
    f"http://mallory:{SECRET}@[127.0.0.1]:3128",
    f"http://mallory:{SECRET}@[{SECRET}]:3128",
    f"mallory:{SECRET}#x@127.0.0.1:3128",
    f"mallory:{SECRET}@127.0.0.1:99999",
    f"http:/mallory:{SECRET}@127.0.0.1:3128",
    f"ftp://mallory:{SECRET}@127.0.0.1:3128",
    f"{SECRET}://127.0.0.1:3128",
    f"socks5h://mallory:{SECRET}@127.0.0.1:1080",
    "http://",
    "://",
]


def all_about(failure: BaseException) -> str:
    return "\n".join([str(failure), repr(failure), *traceback.format_exception(failure), repr(vars(failure))])


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("given", MALFORMED)
def test_settings_that_cannot_be_used(
    given: str, scheme: str, transport: Transport, pauses: Pauses, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{scheme}_proxy", given)
    found = transport.fail(MilvusConfig(f"{scheme}://milvus.invalid:19530"), LIST)

    assert (type(found), found.transient, found.attempts) == (errors.ConnectError, False, 1)
    assert WORDS in str(found)
    for text in (all_about(found), logged.everything):
        assert SECRET not in text
        assert "mallory" not in text


@pytest.mark.parametrize("given", MALFORMED)
def test_the_test_button_and_events_say_the_same(
    given: str, operating: Operating, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", given)
    operating.connect("https://milvus.invalid")
    works, message = MilvusHook().test_connection()
    assert not works
    assert WORDS in message
    assert "NO_PROXY" in message
    assert SECRET not in message + logged.everything


async def test_the_event_of_a_wait_has_nothing_of_it(operating: Operating, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", MALFORMED[0])
    operating.connect("https://milvus.invalid")
    event = await end_of(trigger_of())
    assert (event["error"], event["transient"]) == ("ConnectError", False)
    assert WORDS in event["message"]
    assert SECRET not in repr(event)


def basic(login: str) -> bytes:
    return b"Basic " + b64encode(login.encode())


USABLE = {
    "{}": None,
    "http://{}": None,
    "HTTP://{}/": None,
    "  http://{} ": None,
    "mallory:{secret}@{}": basic(f"mallory:{SECRET}"),
    "http://mallory:{secret}@{}": basic(f"mallory:{SECRET}"),
    "http://mallory:@{}": basic("mallory:"),
    "http://mallory@{}": basic("mallory:"),
    "http://mal%40lory:%23%2F%3F%E6%95%B0@{}": basic("mal@lory:#/?数"),
    "http://mallory:pä:ss@{}": basic("mallory:pä:ss"),
    "http://mallory:100%@{}": basic("mallory:100%"),
    "http://mallory:a@b@{}": basic("mallory:a@b"),
}


@pytest.mark.parametrize("given", USABLE)
def test_settings_that_can_be_used(
    given: str, transport: Transport, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve(ok([]))
    monkeypatch.setenv("HTTP_PROXY", given.format(f"127.0.0.1:{proxy.port}", secret=SECRET))

    transport.send(MilvusConfig("http://milvus.invalid:19530", token="ada:s3cret"), LIST, LIST)

    for request in proxy.requests:
        assert request.path == "http://milvus.invalid:19530/v2/vectordb/collections/list"
        assert request.headers.get("proxy-authorization") == USABLE[given]
        assert request.headers["authorization"] == b"Bearer ada:s3cret"


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://[::1]:3128", "http://[::1]:3128"),
        ("[fe80::1]", "http://[fe80::1]"),
        ("https://proxy.example", "https://proxy.example"),
        ("proxy.example.:03128", "http://proxy.example.:3128"),
        ("my_proxy", "http://my_proxy"),
        ("http://bücher.example:1", "http://bücher.example:1"),
    ],
)
def test_addresses(given: str, url: str) -> None:
    proxy = read_proxy(given)
    assert (proxy.url, proxy.authorization) == (url, None)
    assert SECRET not in repr(read_proxy(f"http://mallory:{SECRET}@h:1"))


class Gate:
    """A proxy that asks each CONNECT for another login, and remembers what it was sent."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with sock:
                head = b""
                while b"\r\n\r\n" not in head and (more := sock.recv(65536)):
                    head += more
                self.heads.append(head)
                sock.sendall(b"HTTP/1.1 407 Who are you?\r\nContent-Length: 0\r\n\r\n")

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


@pytest.fixture
def gate() -> Iterator[Gate]:
    found = Gate()
    yield found
    found.close()


def test_a_tunnel_is_asked_for_without_the_token(
    transport: Transport, gate: Gate, pauses: Pauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"mallory:%23{SECRET}@127.0.0.1:{gate.port}")

    found = transport.fail(MilvusConfig("https://milvus.invalid", token="ada:s3cret", retries=0), LIST)

    assert (type(found), found.transient) == (errors.ConnectError, True)
    assert "the proxy (HTTPS_PROXY, HTTP_PROXY) refuses or cannot be reached" in str(found)
    (head,) = gate.heads
    assert head.startswith(b"CONNECT milvus.invalid:443 HTTP/1.")
    assert b"proxy-authorization: " + basic(f"mallory:#{SECRET}").lower() in head.lower()
    assert b"bearer" not in head.lower()


@pytest.mark.parametrize(
    ("no_proxy", "proxied"),
    [
        ("", True),
        ("*", False),
        ("127.0.0.1", False),
        ("127.0.0.0/8", False),
        ("other.example, 127.0.0.1", False),
        ("127.0.0.2", True),
        ("localhost", True),
    ],
)
def test_no_proxy(
    no_proxy: str, proxied: bool, transport: Transport, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, server = serve(ok([])), serve(ok([]))
    monkeypatch.setenv("ALL_PROXY", f"127.0.0.1:{proxy.port}")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    transport.send(MilvusConfig(server.url), LIST)
    assert (len(proxy.requests), len(server.requests)) == ((1, 0) if proxied else (0, 1))


def test_settings_that_are_not_for_this_server_do_no_harm(
    transport: Transport, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", MALFORMED[0])
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = serve(ok([]))
    transport.send(MilvusConfig(server.url), LIST)
    assert len(server.requests) == 1
