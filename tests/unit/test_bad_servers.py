"""Servers that answer wrongly, halfway or not at all: one error from both clients, after as many requests."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from airflow_vectordb._compat import AirflowException, AirflowFailException
from airflow_vectordb.rest import Client, MilvusConfig, collections, entities, errors, indexes
from airflow_vectordb.rest.http.call import Call
from airflow_vectordb.rest.http.response import LARGE_ANSWER
from tests.support.fake_milvus import NO_COLLECTION, FakeMilvus
from tests.support.harness import Operating, Pauses, Transport
from tests.support.scripted import (
    Answer,
    Behaviour,
    CutOff,
    Drip,
    Endless,
    Raw,
    Serve,
    Silent,
    error,
    ok,
    page,
)

DESCRIBE = indexes.describe("docs", "vector")
RETRIES = 2


def described(**fields: Any) -> Answer:
    return ok([{"indexName": "vector", "fieldName": "vector", **fields}])


# An answer, and what becomes of it: class, code, HTTP status (None: 200 or no answer), words of the message.
PERMANENT: dict[str, tuple[Behaviour, type[errors.MilvusError], int | None, int | None, str]] = {
    "wrong token": (error(1800, "user hasn't authenticated", 401), errors.AuthenticationError, 1800, 401, "login and"),
    "wrong token, HTTP 200": (error(1800, "no auth"), errors.AuthenticationError, 1800, 200, "no auth"),
    "wrong token, a proxy's page": (page(401, "Sign in"), errors.AuthenticationError, None, 401, "Sign in"),
    "Zilliz: token invalid": (error(80002, "invalid token"), errors.AuthenticationError, 80002, 200, "invalid token"),
    "no privilege": (error(1401, "privilege not permitted", 403), errors.PermissionDeniedError, 1401, 403, "privilege"),
    "Zilliz: no permission": (error(96003, "unknown cluster"), errors.PermissionDeniedError, 96003, 200, "unknown"),
    "no database": (error(800, "database not found"), errors.DatabaseNotFoundError, 800, 200, "database not found"),
    "no collection": (NO_COLLECTION, errors.CollectionNotFoundError, 100, 200, "can't find collection"),
    "no index": (error(700, "index not found"), errors.IndexNotFoundError, 700, 200, "index not found"),
    "bad parameter": (error(1100, "invalid parameter"), errors.BadRequestError, 1100, 200, "invalid parameter"),
    "quota": (error(9, "quota exceeded"), errors.LimitExceededError, 9, 200, "quota exceeded"),
    "unexpected": (error(65535, "field has no index type"), errors.UnexpectedError, 65535, 200, "no index type"),
    "a code on no list": (error(31337, "new kind"), errors.UnexpectedError, 31337, 200, "new kind"),
    "v1's message": (Answer({"code": 1100, "msg": "old words"}), errors.BadRequestError, 1100, 200, "old words"),
    "a failure without words": (Answer({"code": 1100}), errors.BadRequestError, 1100, 200, "no reason"),
    "HTML": (page(200, "Attu"), errors.NotMilvusError, None, 200, "an HTML page (Attu)"),
    "plain 404": (Answer("404 page not found", 404), errors.NoSuchEndpointError, None, 404, "404 page not found"),
    "HTML 404": (page(404, "Not Found"), errors.NoSuchEndpointError, None, 404, "Not Found"),
    "HTML 400": (page(400, "Bad Request"), errors.NotMilvusError, None, 400, "Bad Request"),
    "JSON without code": (Answer({"detail": "Not Found"}), errors.NotMilvusError, None, 200, "`code`"),
    "JSON list": (Answer([0]), errors.NotMilvusError, None, 200, "`code`"),
    "JSON null": (Answer("null"), errors.NotMilvusError, None, 200, "`code`"),
    "code as a text": (Answer({"code": "0", "data": []}), errors.NotMilvusError, None, 200, "`code`"),
    "code as a boolean": (Answer({"code": False, "data": []}), errors.NotMilvusError, None, 200, "`code`"),
    "half of a JSON": (Answer('{"code": 0, "da'), errors.NotMilvusError, None, 200, '"da'),
    "no body": (Answer(b""), errors.NotMilvusError, None, 200, "empty body"),
    "no content": (Raw(b"HTTP/1.1 204 No Content\r\n\r\n"), errors.NotMilvusError, None, 204, "empty body"),
    "not text": (Answer(b"\xff\xfe\x00{}"), errors.NotMilvusError, None, 200, "`code`"),
    "nested too deep": (Answer("[" * 100_000), errors.NotMilvusError, None, 200, "[[["),
    "data of another type": (ok("fine"), errors.NotMilvusError, None, None, "shape"),
    "data missing": (Answer({"code": 0}), errors.NotMilvusError, None, None, "shape"),
    "rows not a number": (described(totalRows="many"), errors.NotMilvusError, None, None, "many"),
    "rows of 5,000 digits": (described(totalRows="9" * 5000), errors.NotMilvusError, None, None, "shape"),
    "parameters nested too deep": (
        described(indexParams=[{"key": "params", "value": "[" * 100_000}]),
        errors.NotMilvusError,
        None,
        200,
        "more than 20,000 lists and objects",
    ),
    "not HTTP": (Raw(b"SSH-2.0-OpenSSH_9.2\r\n"), errors.NotMilvusError, None, None, "SSH-2.0-OpenSSH_9.2"),
    "HTTP/2 only": (Raw(b"\0\0\x12\x04\0\0\0\0\0"), errors.NotMilvusError, None, None, "HTTP"),
    "a TLS alert": (Raw(b"\x15\x03\x01\x00\x02\x02\x16"), errors.TlsError, None, None, "secure"),
    "plain HTTP to a TLS port": (
        Raw(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"),
        errors.NotMilvusError,
        None,
        400,
        "HTTPS server",
    ),
}

TRANSIENT: dict[str, tuple[Behaviour, type[errors.MilvusError], int | None, int | None, str]] = {
    "not ready": (error(1, "service not ready"), errors.UnavailableError, 1, 200, "service not ready"),
    "rate limit": (error(8, "request limit exceeded"), errors.RateLimitError, 8, 200, "limit"),
    "unexpected, but passing": (error(65535, "rpc: rate limit"), errors.UnexpectedError, 65535, 200, "rate limit"),
    "408": (error(10001, "request timeout", 408), errors.UnavailableError, 10001, 408, "request timeout"),
    "429, a proxy's page": (page(429, "Slow down"), errors.RateLimitError, None, 429, "Slow down"),
    "500, a panic": (error(500, "panic", 500), errors.GatewayError, 500, 500, "panic"),
    "500, no words": (Answer(b"", 500), errors.GatewayError, None, 500, "empty body"),
    "502": (page(502, "Bad Gateway"), errors.GatewayError, None, 502, "Bad Gateway"),
    "503": (page(503, "Down for maintenance"), errors.GatewayError, None, 503, "Down for maintenance"),
    "504": (Answer("upstream timed out", 504), errors.GatewayError, None, 504, "upstream timed out"),
    "503 around a success": (Answer({"code": 0, "data": []}, 503), errors.GatewayError, 0, 503, "HTTP 503"),
    "cut off": (CutOff(), errors.BrokenAnswerError, None, None, "connection ended"),
    "cut off by reset": (CutOff(reset=True), errors.BrokenAnswerError, None, None, "connection ended"),
    "closed without a word": (CutOff(b""), errors.BrokenAnswerError, None, None, "connection ended"),
    "reset without a word": (CutOff(b"", reset=True), errors.BrokenAnswerError, None, None, "connection ended"),
    "a chunk cut off": (
        Raw(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"cod'),
        errors.BrokenAnswerError,
        None,
        None,
        "connection ended",
    ),
}


@pytest.mark.parametrize("case", [*PERMANENT, *TRANSIENT])
def test_both_clients_see_the_same_error(case: str, transport: Transport, serve: Serve, pauses: list[float]) -> None:
    behaviour, kind, code, status, words = (PERMANENT | TRANSIENT)[case]
    server = serve(behaviour)

    found = transport.fail(MilvusConfig(server.url, database="shop", retries=RETRIES), DESCRIBE)

    assert type(found) is kind
    assert (found.code, found.http_status or 200) == (code, status or 200)
    assert found.transient is (case in TRANSIENT)
    assert len(server.requests) == found.attempts == (1 + RETRIES if case in TRANSIENT else 1)
    assert len(pauses) == found.attempts - 1
    text = str(found)
    for fact in (words, "indexes/describe", "'vector'", "'docs'", "'shop'", server.url):
        assert fact in text
    if code is not None:
        assert f"code {code}" in text
    assert len(text) < 700
    assert "\n" not in text


def test_a_refused_connection(transport: Transport, serve: Serve, pauses: list[float]) -> None:
    server = serve([], listening=False)

    found = transport.fail(MilvusConfig(server.url, retries=RETRIES), DESCRIBE)

    assert type(found) is errors.ConnectError
    assert found.transient
    assert "Connection refused" in str(found)
    assert "host and port" in str(found)
    assert len(pauses) == RETRIES


def test_an_unknown_host(transport: Transport, pauses: list[float]) -> None:
    found = transport.fail(MilvusConfig("http://no-such-host.invalid:19530", retries=1), DESCRIBE)

    assert type(found) is errors.ConnectError
    assert len(pauses) == 1


@contextmanager
def deaf_port() -> Iterator[int]:
    """A port whose queue of connections is full: nothing is refused, and nothing comes about."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(2):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def test_a_connection_that_does_not_come_about(
    transport: Transport, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_vectordb.rest.config.CONNECT_TIMEOUT", 0.3)
    with deaf_port() as port:
        found = transport.fail(MilvusConfig(f"http://127.0.0.1:{port}", timeout=1, retries=1), DESCRIBE)

    assert type(found) is errors.ConnectError
    assert "no connection within 0.3 s" in str(found)
    assert len(pauses) == 1


SLOW = {
    "silence": Silent(),
    "a byte now and then": Drip(),
    "a byte of a header now and then": Drip(in_head=True),
    "rows without end": Endless(),
}


@pytest.mark.parametrize("case", SLOW)
def test_servers_that_do_not_come_to_an_end(
    case: str, transport: Transport, serve: Serve, pauses: list[float], impatient: None
) -> None:
    server = serve(SLOW[case])
    call: Call[Any] = entities.query("docs") if case.startswith("rows") else DESCRIBE
    began = time.monotonic()

    found = transport.fail(MilvusConfig(server.url, timeout=1, retries=1), call)
    elapsed = time.monotonic() - began

    assert type(found) is errors.AnswerTimeoutError
    assert "within 1 s" in str(found)
    assert "`timeout`" in str(found)
    assert found.transient
    assert server.received(2)
    assert 2 <= elapsed < 40


@pytest.mark.parametrize("call", [DESCRIBE, collections.list_(), entities.query("docs")], ids=lambda call: call.path)
def test_an_answer_larger_than_any_of_milvus_is_given_up(
    call: Call[Any], transport: Transport, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert LARGE_ANSWER > 64 * 1024 * 1024  # what Milvus itself may send
    for name in ("MEDIUM_ANSWER", "LARGE_ANSWER"):
        monkeypatch.setattr(f"airflow_vectordb.rest.http.response.{name}", 1 << 20)
    server = serve(Endless())

    found = transport.fail(MilvusConfig(server.url, retries=RETRIES), call)

    assert type(found) is errors.NotMilvusError
    assert f"larger than {'256 KiB' if call is DESCRIBE else '1 MiB'}" in str(found)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "kind", "attempts"), [(503, errors.GatewayError, 1 + RETRIES), (302, errors.RedirectError, 1)]
)
def test_the_status_of_an_answer_without_end_counts(
    status: int, kind: type[errors.MilvusError], attempts: int, transport: Transport, serve: Serve, pauses: Pauses
) -> None:
    server = serve(Endless(status, {"Location": "/elsewhere"}))
    found = transport.fail(MilvusConfig(server.url, retries=RETRIES), DESCRIBE)
    assert type(found) is kind
    assert len(server.requests) == attempts


@pytest.mark.parametrize(
    "location", ["{other}/v2/vectordb/indexes/describe", "/elsewhere", "http://[bad", b"http://\xff", ""]
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(transport: Transport, serve: Serve, location: str | bytes, status: int) -> None:
    other = serve([])
    if isinstance(location, str):
        location = location.format(other=other.url)
    server = serve(Answer("moved", status, {"Location": location} if location else {}))

    found = transport.fail(MilvusConfig(server.url, token="ada:s3cret", retries=RETRIES), DESCRIBE)

    assert type(found) is errors.RedirectError
    assert not found.transient
    assert found.http_status == status
    assert "redirect" in str(found)
    if isinstance(location, str):
        assert (location or "nowhere") in str(found)
    assert len(server.requests) == 1
    assert other.connections == 0


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("%s %d {x} {0} %(a)s", "%s %d {x} {0} %(a)s"),
        ("line one\r\n\tline two", "line one line two"),
        ("\x1b[31mred\x1b[0m\x00\x07\u202e!", "�[31mred�[0m���!"),
        ("größer als 数据", "größer als 数据"),
        ("x" * 200_000, "xxx"),
    ],
    ids=["formats", "lines", "control characters", "letters", "200 kB"],
)
def test_messages_stay_readable(transport: Transport, serve: Serve, message: str, shown: str) -> None:
    server = serve(error(1100, message))

    text = str(transport.fail(MilvusConfig(server.url), DESCRIBE))

    assert shown in text
    assert len(text) < 2500
    assert text.isprintable()


# The operator -----------------------------------------------------------------------------------------------------

PATHS = ["collections/describe", "indexes/list", "indexes/create", "indexes/describe"]


@pytest.mark.parametrize(
    ("path", "case"),
    [
        (PATHS[0], "HTML"),
        *itertools.product(
            PATHS,
            ("wrong token", "no privilege", "no collection", "bad parameter", "a code on no list", "plain 404"),
        ),
    ],
)
def test_a_permanent_error_ends_the_task_at_once(path: str, case: str, serve: Serve, operating: Operating) -> None:
    behaviour, _, code, _, words = PERMANENT[case]
    server = serve(FakeMilvus(faults={path: [behaviour]}))

    with pytest.raises(AirflowFailException) as caught:
        operating.create(server)

    assert server.paths.count(path) == 1
    assert server.paths[-1] == path
    for fact in (words, path, "'docs'", server.url, "task index", f"code {code}" if code else ""):
        assert fact in str(caught.value)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("case", ["not ready", "429, a proxy's page", "503", "cut off by reset"])
def test_a_transient_error_is_left_to_airflow_in_the_end(
    path: str, case: str, serve: Serve, operating: Operating, pauses: list[float]
) -> None:
    behaviour, *_, words = TRANSIENT[case]
    server = serve(FakeMilvus(faults={path: [behaviour] * 3}))

    with pytest.raises(AirflowException) as caught:
        operating.create(server)

    assert not isinstance(caught.value, AirflowFailException)
    assert server.paths.count(path) == 3
    assert len(pauses) == 2
    for fact in (words, path, "'docs'", server.url, "3 attempts"):
        assert fact in str(caught.value)


@pytest.mark.parametrize("path", PATHS)
def test_a_transient_error_that_passes_is_not_seen(
    path: str, serve: Serve, operating: Operating, pauses: list[float]
) -> None:
    server = serve(FakeMilvus(faults={path: [page(503), CutOff()]}))

    (index,) = operating.create(server)

    assert index["index_type"] == "HNSW"
    assert server.paths.count(path) == 3


@pytest.mark.parametrize("path", PATHS[1:])
@pytest.mark.parametrize("pages", [1, 3])
@pytest.mark.parametrize("answer", [page(), page(404, "Not Found"), Answer("404 page not found\n", 404)])
def test_a_page_in_the_place_of_milvus_that_has_answered_is_an_outage(
    path: str, pages: int, answer: Behaviour, serve: Serve, operating: Operating, pauses: list[float]
) -> None:
    """Before it has, it is the wrong address; waits tell the two apart in the same way."""
    server = serve(FakeMilvus(faults={path: [answer] * pages}))
    if pages == 1:
        (index,) = operating.create(server)
        assert index["index_type"] == "HNSW"
    else:
        with pytest.raises(AirflowException) as caught:
            operating.create(server)
        assert not isinstance(caught.value, AirflowFailException)
        assert "Milvus answered before: a retry may help." in str(caught.value)[:130]


def test_a_refusal_of_milvus_is_an_answer_too(serve: Serve) -> None:
    with Client(MilvusConfig(serve([NO_COLLECTION, page(404, "Not Found")]).url, retries=0)) as client:
        with pytest.raises(errors.CollectionNotFoundError):
            client.send(DESCRIBE)
        with pytest.raises(errors.NotMilvusError, match="Milvus answered before") as caught:
            client.send(DESCRIBE)
        assert caught.value.transient


def test_an_answer_of_an_unknown_shape_is_no_outage(serve: Serve, operating: Operating) -> None:
    server = serve(FakeMilvus(faults={"indexes/list": [ok({"names": 1})]}))
    with pytest.raises(AirflowFailException, match="does not have the shape"):
        operating.create(server)


def test_nobody_there(serve: Serve, operating: Operating, pauses: list[float]) -> None:
    with pytest.raises(AirflowException, match="Connection refused") as caught:
        operating.create(serve([], listening=False))

    assert not isinstance(caught.value, AirflowFailException)
    assert len(pauses) == 2
