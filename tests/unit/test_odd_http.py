"""HTTP at the edge of what it allows, and beyond: both clients make the same of it."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_vectordb.rest import MilvusConfig, collections, errors
from airflow_vectordb.rest.http.call import Call
from tests.support.harness import Pauses, Transport
from tests.support.scripted import Answer, Raw, Serve

LIST: Call[Any] = collections.list_()
BODY = b'{"code": 0, "data": ["docs"]}'
SIZE = str(len(BODY)).encode()
OK = b"HTTP/1.1 200 OK\r\n"


def head(*lines: bytes, start: bytes = OK) -> bytes:
    return start + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


LENGTH = b"Content-Length: " + SIZE
GOOD = head(LENGTH) + BODY
CHUNKED = b"Transfer-Encoding: chunked"
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)

#: What is an answer all the same.
READ = {
    "as it should be": GOOD,
    "no length": head() + BODY,
    "HTTP/1.0": head(start=b"HTTP/1.0 200 OK\r\n") + BODY,
    "no reason": head(LENGTH, start=b"HTTP/1.1 200\r\n") + BODY,
    "chunks": head(CHUNKED) + CHUNKS,
    "chunks with extensions": head(CHUNKED) + CHUNKS.replace(b"\r\n{", b";a=b\r\n{"),
    "chunks with a trailer": head(CHUNKED) + CHUNKS.replace(b"0\r\n", b"0\r\nX-Sum: 1\r\n"),
    "100 before it": head(start=b"HTTP/1.1 100 Continue\r\n") + GOOD,
    "102 before it": head(start=b"HTTP/1.1 102 Processing\r\n") + GOOD,
    "103 before it": head(b"Link: </x>", start=b"HTTP/1.1 103 Early Hints\r\n") + GOOD,
    "several before it": head(start=b"HTTP/1.1 102 Processing\r\n") * 20 + GOOD,
    "cookies": head(LENGTH, b"Set-Cookie: a=b", b"Set-Cookie: ;;=") + BODY,
    "an odd connection": head(LENGTH, b"Connection: upgrade", b"Upgrade: h2c") + BODY,
}
BROKEN, NOT = errors.BrokenAnswerError, errors.NotMilvusError
#: What is none, and the error that it is.
REFUSED: dict[str, tuple[bytes, type[errors.MilvusError]]] = {
    "102 and nothing more": (head(start=b"HTTP/1.1 102 Processing\r\n"), BROKEN),
    "101": (head(b"Upgrade: h2c", b"Connection: upgrade", start=b"HTTP/1.1 101 Switching Protocols\r\n") + BODY, NOT),
    "204": (head(start=b"HTTP/1.1 204 No Content\r\n"), NOT),
    "204 with a body": (head(LENGTH, start=b"HTTP/1.1 204 No Content\r\n") + BODY, NOT),
    "204 with chunks": (head(CHUNKED, start=b"HTTP/1.1 204 No Content\r\n") + CHUNKS, NOT),
    "205 with a body": (head(LENGTH, start=b"HTTP/1.1 205 Reset Content\r\n") + BODY, errors.UnexpectedError),
    "a length too long": (head(b"Content-Length: 1000") + BODY, BROKEN),
    "a length too short": (head(b"Content-Length: 10") + BODY, NOT),
    "a length of 0": (head(b"Content-Length: 0") + BODY, NOT),
    "a length below 0": (head(b"Content-Length: -5") + BODY, NOT),
    "a length in words": (head(b"Content-Length: many") + BODY, NOT),
    "a length in hex": (head(b"Content-Length: 0x1d") + BODY, NOT),
    "a length with a sign": (head(b"Content-Length: +" + SIZE) + BODY, NOT),
    "a length with a fraction": (head(b"Content-Length: " + SIZE + b".0") + BODY, NOT),
    "an empty length": (head(b"Content-Length:") + BODY, NOT),
    "two lengths": (head(LENGTH, b"Content-Length: 10") + BODY, NOT),
    "one length twice": (head(LENGTH, LENGTH) + BODY, NOT),
    "two lengths in one": (head(b"Content-Length: " + SIZE + b", 10") + BODY, NOT),
    "a length and chunks": (head(LENGTH, CHUNKED) + CHUNKS, NOT),
    "a length without end": (head(b"Content-Length: " + b"9" * 30) + BODY, NOT),
    "chunks without a size": (head(CHUNKED) + BODY, NOT),
    "chunks of another size": (head(CHUNKED) + b"5\r\n" + BODY + b"\r\n0\r\n\r\n", NOT),
    "chunks below 0": (head(CHUNKED) + b"-1\r\n" + BODY, NOT),
    "chunks without an end": (head(CHUNKED) + CHUNKS[:-5], BROKEN),
    "a status in words": (head(LENGTH, start=b"HTTP/1.1 OK\r\n") + BODY, NOT),
    "a status of two digits": (head(LENGTH, start=b"HTTP/1.1 20 OK\r\n") + BODY, NOT),
    "a status of four digits": (head(LENGTH, start=b"HTTP/1.1 2000 OK\r\n") + BODY, NOT),
    "another version": (head(LENGTH, start=b"HTTP/3.0 200 OK\r\n") + BODY, NOT),
    "a header without a colon": (head(LENGTH, b"nonsense") + BODY, NOT),
    "a header without a name": (head(LENGTH, b": x") + BODY, NOT),
    "a name with a blank": (head(LENGTH, b"X Y: z") + BODY, NOT),
    "a header of 100 KB": (head(LENGTH, b"X: " + b"x" * 100_000) + BODY, NOT),
    "no head": (BODY, NOT),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent-", BROKEN),
}


@pytest.mark.parametrize("case", READ)
def test_what_is_an_answer_all_the_same(case: str, transport: Transport, serve: Serve, pauses: Pauses) -> None:
    server = serve(Raw(READ[case]))
    assert transport.send(MilvusConfig(server.url, retries=0), LIST) == [["docs"]]


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_none(case: str, transport: Transport, serve: Serve, pauses: Pauses) -> None:
    data, kind = REFUSED[case]
    found = transport.fail(MilvusConfig(serve(Raw(data)).url, retries=0), LIST)
    assert type(found) is kind
    assert str(found).isprintable()
    assert len(str(found)) < 1000


def test_cookies_are_neither_kept_nor_sent_again(transport: Transport, serve: Serve) -> None:
    server = serve(Answer({"code": 0, "data": []}, 200, {"Set-Cookie": "session=42; Path=/"}))
    transport.send(MilvusConfig(server.url), LIST, LIST, LIST)
    assert len(server.requests) == 3
    assert not any("cookie" in request.headers for request in server.requests)
