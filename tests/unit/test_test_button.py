"""The Test button: says what was reached, or what is wrong and what to do about it in which field, within seconds."""

from __future__ import annotations

import contextvars
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
from airflow.sdk import Connection

from airflow_vectordb.hooks import connection_test
from airflow_vectordb.local import LocalMilvus
from airflow_vectordb.rest import Client, errors
from tests.support.certificates import Authority
from tests.support.harness import LABELS, LOGIN, PASSWORD
from tests.support.scripted import Answer, Behaviour, CutOff, Drip, Raw, Serve, Silent, error, ok, page

#: Without an end of its own, none would end before a minute: of the server, or of the system.
BOUND = connection_test.LONGEST + 20


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def milvus() -> Iterator[LocalMilvus]:
    with LocalMilvus(token=f"{LOGIN}:{PASSWORD}") as server:
        yield server


def test_what_was_reached(serve: Serve, button: Callable[..., Any]) -> None:
    server = serve(ok(["a", "b"]))

    worked, message = button(server, schema="books")

    assert worked
    assert re.fullmatch(rf"Milvus at {server.url} as ada, database books, 2 collections, \d+ ms", message)
    assert server.bodies("collections/list") == [{"dbName": "books"}]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"login": None}, "with an API key, database default, 1 collection,"),
        ({"login": None, "password": None}, "without credentials, database default, 1 collection,"),
        ({"database": "films", "schema": "books"}, "as ada, database films, 1 collection,"),
    ],
)
def test_as_whom_and_where(serve: Serve, button: Callable[..., Any], fields: dict[str, Any], words: str) -> None:
    worked, message = button(serve(ok(["a"])), **fields)
    assert worked
    assert words in message


def test_a_real_server(milvus: LocalMilvus, button: Callable[..., Any]) -> None:
    host, port = "127.0.0.1", int(milvus.uri.rpartition(":")[2])
    patient = {"timeout": 30}  # which this server heeds
    reached = button(host, port=port, extra=patient)[1]
    assert reached.startswith(f"Milvus at {milvus.uri} as ada, database default, 0 collections, ")
    for fields, words in (
        (
            {"password": "wrong"},
            f"does not accept the credentials. Check {LABELS['login']} and {LABELS['password']}",
        ),
        ({"login": None}, "does not accept the credentials. Check"),
        ({"login": None, "password": None}, "requires credentials; none were sent. Set"),
        (
            {"schema": "books"},
            f"Database 'books' does not exist. Create it, or check {LABELS['schema']} (empty: default).",
        ),
    ):
        worked, message = button(host, port=port, extra=patient, **fields)
        assert not worked
        assert words in message
        assert f"at {milvus.uri} (code " in message


CHECK = f"Check {LABELS['host']} and {LABELS['port']}"
ANSWERS: dict[str, tuple[Behaviour, str, str]] = {
    # what answers, what is said of it, what to do
    "token": (
        error(1800, f"who is {PASSWORD}?", 401),
        '(code 1800, HTTP 401): "who is ***?"',
        f"Check {LABELS['login']} and {LABELS['password']}",
    ),
    "privilege": (error(1401, "permission denied", 403), "lacks a privilege", "may work without this one"),
    "zilliz": (error(96001, "no permission for the cluster"), "lacks a privilege", "may work without this one"),
    "database": (error(800, "database not found"), "Database 'default' does not exist", f"check {LABELS['schema']}"),
    "refused": (error(1100, "what is that?"), 'Milvus refuses: "what is that?".', f"Check {LABELS['schema']}"),
    "unexpected": (error(65535, "what is that?"), 'Milvus refuses: "what is that?".', f"Check {LABELS['schema']}"),
    "starting": (error(1, "not ready"), 'Milvus cannot do it now: "not ready".', "A retry may help"),
    "redirect": (
        Answer("", 307, {"Location": "https://milvus.example/v2/vectordb/collections/list"}),
        "'https://milvus.example/v2/vectordb/collections/list'; not followed.",
        f"Set the connection's {LABELS['host']} to",
    ),
    "page": (
        page(200, "Attu"),
        "is not Milvus: the answer is not a JSON object with a `code`: an HTML page (Attu). Check",
        f"{CHECK}: by default, Milvus's API is on 19530. Attu",
    ),
    "JSON": (
        Answer({"hello": 1}),
        'is not Milvus: the answer is not a JSON object with a `code`: {"hello": 1}. Check',
        CHECK,
    ),
    "404": (Answer("404 page not found", 404), "Is it Milvus 2.4 or later?", CHECK),
    "proxy": (page(503, "Sorry"), "HTTP 503 from something in front of Milvus", "is Milvus up behind it?"),
    "proxy's 401": (page(401, "Login"), "HTTP 401 from something in front of Milvus", f"Check {LABELS['login']}"),
    "proxy's 403": (
        page(403, "No"),
        "HTTP 403 from something in front of Milvus",
        f"Check {LABELS['host']} and proxies",
    ),
    "cut off": (CutOff(), "the connection ended before the answer did. Is Milvus up", CHECK),
    "reset": (CutOff(b"", reset=True), "the connection ended before the answer did. Is Milvus up", CHECK),
    "not HTTP": (Raw(b"SSH-2.0-OpenSSH_9.2\r\n"), "does not speak HTTP: SSH-2.0-OpenSSH_9.2", CHECK),
    "gRPC": (Raw(b"\0\0\x12\x04\0\0\0\0\0\0\x03\x7f\xff\xff\xff"), "does not speak HTTP", CHECK),
}


@pytest.mark.parametrize(("behaviour", "words", "advice"), ANSWERS.values(), ids=ANSWERS)
def test_what_is_wrong_and_what_to_do(
    serve: Serve, button: Callable[..., Any], behaviour: Behaviour, words: str, advice: str
) -> None:
    server = serve(behaviour)

    worked, message = button(server)

    assert not worked
    assert words in message
    assert advice in message
    assert server.url in message
    assert len(server.requests) == 1  # nothing is tried again, and nothing else is sent


@pytest.mark.parametrize("behaviour", [Silent(), Drip(), Drip(in_head=True)], ids=repr)
def test_no_answer_comes_to_an_end(
    serve: Serve, button: Callable[..., Any], behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_test, "LONGEST", 60)  # what the time-out of the answer says is of interest here
    monkeypatch.setattr(connection_test, "LONGEST_ANSWER", 1.0)
    worked, message = button(serve(behaviour), extra={"timeout": 600, "retries": 9})
    assert not worked
    assert f"no answer within 1 s. Is Milvus up, and no firewall in between? {CHECK}" in message


def test_silence_after_the_handshake(
    serve: Serve, button: Callable[..., Any], authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_test, "LONGEST", 60)
    server = serve(Silent(), tls=authority.server_context())
    worked, message = button(server, extra={"verify": str(authority.bundle), "timeout": 600})
    assert not worked
    assert "no answer within 4 s" in message


def test_silence_in_the_place_of_a_handshake(button: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began = time.monotonic()
        worked, message = button(f"https://127.0.0.1:{listener.getsockname()[1]}")
    assert time.monotonic() - began < BOUND
    assert not worked
    assert CHECK in message


def test_packets_that_vanish(button: Callable[..., Any]) -> None:
    # A listener whose backlog is full lets connections hang as a firewall does.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        began = time.monotonic()
        worked, message = button(f"127.0.0.1:{listener.getsockname()[1]}")
        elapsed = time.monotonic() - began
        for filler in fillers:
            filler.close()
    assert elapsed < BOUND
    assert not worked
    assert "no connection within" in message


def test_a_name_server_that_is_silent(button: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def getaddrinfo(*_: Any, **__: Any) -> Any:
        over.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(connection_test, "LONGEST", 0.3)
    began = time.monotonic()
    worked, message = button("milvus.example")
    over.set()
    assert time.monotonic() - began < 30
    assert not worked
    assert message.startswith("No answer from http://milvus.example:19530 within 0.3 s. ")
    assert CHECK in message


@pytest.mark.parametrize(("host", "container"), [("127.0.0.1", True), ("localhost", True), ("http://0.0.0.0", False)])
def test_nobody_listens(button: Callable[..., Any], host: str, container: bool) -> None:
    with socket.socket() as taken:  # and does not listen
        taken.bind(("127.0.0.1", 0))
        worked, message = button(host, port=taken.getsockname()[1])
    assert not worked
    assert f"Connection refused. Is it up? {CHECK}" in message
    assert ("In a container" in message) is container


class _WebUi(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_error(404)

    def log_message(self, *_: Any) -> None:
        pass


def test_an_http_server_that_is_not_milvus(button: Callable[..., Any]) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _WebUi) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            worked, message = button("127.0.0.1", port=server.server_address[1])
        finally:
            server.shutdown()
    assert not worked
    assert "has no collections/list. Is it Milvus 2.4 or later?" in message


def test_a_grpc_server(button: Callable[..., Any]) -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    worked, message = button("127.0.0.1", port=port)
    over_tls = button("127.0.0.1", port=port, extra={"secure": True})
    server.stop(None).wait()
    assert not worked
    assert CHECK in message
    assert "does not speak TLS" in over_tls[1]


@pytest.mark.parametrize("found", [errors.NoSuchEndpointError, errors.NotMilvusError, errors.AnswerTimeoutError])
def test_the_port_of_the_metrics(
    button: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, found: type[errors.MilvusError]
) -> None:
    # 9091 itself may be taken on this machine, by anything.
    def refuse(*_: Any, **__: Any) -> None:
        raise found("404 page not found", http_status=404)

    monkeypatch.setattr(Client, "send", refuse)
    worked, message = button("milvus.example", port=9091)
    assert not worked
    assert f"9091 is for Milvus's metrics and health: set {LABELS['port']} to that of its API, 19530." in message


class TestTls:
    def test_a_port_that_speaks_it(self, serve: Serve, button: Callable[..., Any], authority: Authority) -> None:
        server = serve([], tls=authority.server_context())
        assert (
            f"speaks TLS, and the test did not: switch {LABELS['secure']} on" in button(f"127.0.0.1:{server.port}")[1]
        )
        plain = f"http://127.0.0.1:{server.port}"
        assert f"speaks TLS, and the test did not: begin {LABELS['host']} with https://" in button(plain)[1]

    def test_a_port_that_does_not(self, serve: Serve, button: Callable[..., Any]) -> None:
        server = serve([])
        message = button(f"127.0.0.1:{server.port}", extra={"secure": True})[1]
        assert f"does not speak TLS: switch {LABELS['secure']} off" in message
        message = button(f"https://127.0.0.1:{server.port}")[1]
        assert f"does not speak TLS: begin {LABELS['host']} with http://" in message

    def test_a_plain_port_that_hangs_up(self, button: Callable[..., Any]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=_hang_up_on_tls, args=(listener,), daemon=True)
            thread.start()
            message = button(f"https://127.0.0.1:{listener.getsockname()[1]}")[1]
            thread.join(60)
        assert "does not speak TLS" in message

    @pytest.mark.parametrize("reset", [False, True])
    def test_a_port_that_ends_handshakes_may_speak_it(self, button: Callable[..., Any], reset: bool) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=_end_handshakes, args=(listener, reset), daemon=True)
            thread.start()
            message = button(f"https://127.0.0.1:{listener.getsockname()[1]}")[1]
            thread.join(60)
        assert "the connection ended" in message
        assert CHECK in message
        assert "does not speak TLS" not in message

    def test_no_token_goes_out_to_find_out(self, button: Callable[..., Any]) -> None:
        received: list[bytes] = []
        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=_hang_up_on_tls, args=(listener, received), daemon=True)
            thread.start()
            button(f"https://127.0.0.1:{listener.getsockname()[1]}")
            thread.join(60)
        assert len(received) == 2
        assert b"uthorization" not in b"".join(received)

    def test_an_unknown_authority(self, serve: Serve, button: Callable[..., Any], authority: Authority) -> None:
        server = serve(ok([]), tls=authority.server_context())
        worked, message = button(server)
        assert not worked
        assert f"Set {LABELS['verify']} to your CA's bundle. The API server and all workers need the file." in message
        assert server.requests == []
        assert button(server, extra={"verify": str(authority.bundle)})[0]

    @pytest.mark.parametrize(
        ("address", "days", "words"),
        [
            ("127.0.0.2", 30, f"Set {LABELS['host']} to one of the certificate's names."),
            ("127.0.0.1", -1, f"has expired. Renew it. Until then, {LABELS['verify']} can be false."),
        ],
    )
    def test_a_certificate_that_does_not_hold(
        self, serve: Serve, button: Callable[..., Any], authority: Authority, address: str, days: int, words: str
    ) -> None:
        server = serve([], tls=authority.server_context(address, days=days))
        worked, message = button(server, extra={"verify": str(authority.bundle)})
        assert not worked
        assert words in message

    def test_a_bundle_that_is_none(
        self, serve: Serve, button: Callable[..., Any], authority: Authority, tmp_path: Path
    ) -> None:
        bundle = tmp_path / "ca.pem"
        bundle.write_text("not a certificate")
        worked, message = button(serve([], tls=authority.server_context()), extra={"verify": str(bundle)})
        assert not worked
        assert (
            f"no usable CA bundle at '{bundle}'. Set {LABELS['verify']} to true, false or a readable PEM file"
            in message
        )


def _end_handshakes(listener: socket.socket, reset: bool) -> None:
    """End two connections, as a balancer does that has no server behind it."""
    listener.settimeout(60)
    for _ in range(2):
        sock, _address = listener.accept()
        with sock:
            sock.recv(65536)
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _hang_up_on_tls(listener: socket.socket, received: list[bytes] | None = None) -> None:
    """Answer two connections: plain HTTP with a page, all else with an end."""
    listener.settimeout(60)
    for _ in range(2):
        sock, _address = listener.accept()
        with sock:
            data = sock.recv(65536)
            if received is not None:
                received.append(data)
            if data[:1] != b"\x16":
                sock.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            sock.shutdown(socket.SHUT_WR)


def test_the_token_is_masked_before_it_is_sent(
    serve: Serve, button: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    masked: list[Any] = []
    monkeypatch.setattr("airflow.sdk.log.mask_secret", masked.append)
    assert button(serve(ok([])))[0]
    assert f"{LOGIN}:{PASSWORD}" in masked


def test_an_airflow_that_tests_on_workers(serve: Serve) -> None:
    """From Airflow 3.3 on, a worker can do it, with a connection that it holds and nobody else has."""
    if not hasattr(Connection, "test_connection"):
        pytest.skip("this Airflow tests connections in its API server only")
    server = serve(ok(["a"]))
    connection = Connection(conn_id="held", conn_type="milvus", host=server.url, login=LOGIN, password=PASSWORD)
    worked, message = contextvars.copy_context().run(connection.test_connection)
    assert worked
    assert message.startswith(f"Milvus at {server.url} as ada, ")
