"""Answers that are large, deep, or made to be slow to read: refused at little cost, and never with the event loop."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import time
import tracemalloc
import zlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

from airflow_vectordb.rest import AsyncClient, MilvusConfig, entities, errors, indexes
from tests.support.harness import PASSWORD, Pauses, Transport
from tests.support.scripted import Answer, Behaviour, Serve, error, ok

T = TypeVar("T")
DESCRIBE = indexes.describe("docs", "vector")
MIB = 1024 * 1024
TOKEN = f"ada:{PASSWORD}"


def described(**fields: Any) -> dict[str, Any]:
    return {"code": 0, "data": [{"indexName": "vector", "fieldName": "vector", "indexState": "InProgress", **fields}]}


def packed(body: Any, encoding: str = "gzip", squeeze: Callable[[bytes], bytes] = gzip.compress) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(squeeze(raw), 200, {"Content-Encoding": encoding})


def bare_deflate(raw: bytes) -> bytes:
    squeezer = zlib.compressobj(wbits=-15)
    return squeezer.compress(raw) + squeezer.flush()


def many_params(number: int) -> str:
    params = ",".join(f'{{"key":"k{n}","value":"v"}}' for n in range(number))
    return json.dumps(described(indexParams=[])).replace("[]", f"[{params}]")


BOMB = gzip.compress(b'{"code": 0, "data": [' + b" " * 64 * MIB)[:-8]
TITLES = "<html>" + "<title>" * (63 * 1024 // 7)
#: As large as a poll's answer may be, and as much work as there can be in it.
FULL = 256 * 1024 - 200
ECHO = json.dumps(TOKEN)[1:-1].replace("a", "\\u0061")
REFUSED: dict[str, tuple[Behaviour, type[errors.MilvusError]]] = {
    "a page of titles": (Answer(TITLES, 502), errors.GatewayError),
    "a page of titles that end": (Answer(TITLES + "</title>", 502), errors.GatewayError),
    "a page that is never a page": (Answer("<!doctype " * 6000, 502), errors.GatewayError),
    "a title without end": (Answer("<html><title>" + "x" * 5 * MIB, 502), errors.GatewayError),
    "a message of 5 MB": (error(1100, "x" * 5_000_000), errors.NotMilvusError),
    "a message as large as may be": (error(1100, "x" * FULL), errors.BadRequestError),
    "a message of escapes": (error(1100, "\\u0061%61&#97;" * (FULL // 20)), errors.BadRequestError),
    "a message of blanks": (error(1100, "\n" * (FULL // 2)), errors.BadRequestError),
    "a message that is none": (
        Answer('{"code": 1100, "message": ' + "[" * 1000 + "]" * 1000 + "}"),
        errors.BadRequestError,
    ),
    "100,000 parameters": (Answer(many_params(100_000)), errors.NotMilvusError),
    "a gzip bomb": (Answer(BOMB, 200, {"Content-Encoding": "gzip"}), errors.NotMilvusError),
    "a bomb in a bomb": (Answer(gzip.compress(BOMB), 200, {"Content-Encoding": "gzip, gzip"}), errors.NotMilvusError),
    "many small members": (
        Answer(gzip.compress(b"{}") + gzip.compress(b" ") * 10_000, 200, {"Content-Encoding": "gzip"}),
        errors.NotMilvusError,
    ),
    "lists, as many as may be": (Answer('{"code": 0, "data": [' + "[]," * (FULL // 3) + "[]]}"), errors.NotMilvusError),
    "lists within lists": (Answer('{"code": 0, "data": ' + "[" * 100_000), errors.NotMilvusError),
    "lists within lists, just so": (
        Answer('{"code": 0, "data": ' + "[" * 1020 + "]" * 1020 + "}"),
        errors.NotMilvusError,
    ),
    "parameters within parameters": (
        Answer(described(indexParams=[{"key": "params", "value": '{"a":' * 40_000}])),
        errors.NotMilvusError,
    ),
    "a number of 200,000 digits": (Answer('{"code": 0, "data": [' + "9" * 200_000 + "]}"), errors.NotMilvusError),
    "a code of 200,000 digits": (Answer('{"code": ' + "1" * 200_000 + "}"), errors.NotMilvusError),
    "a date without end": (error(1, "not ready", Retry_After="1, " * 2500), errors.UnavailableError),
    "the token, again and again": (Answer(f"{TOKEN} {ECHO} " * 100_000, 502), errors.GatewayError),
}


@pytest.fixture(scope="module", autouse=True)
def little_to_collect() -> None:
    """Leave what the tests before have left out of the garbage collections of these."""
    gc.collect()
    gc.freeze()


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_by_both_clients_alike(case: str, transport: Transport, serve: Serve, pauses: Pauses) -> None:
    behaviour, kind = REFUSED[case]
    server = serve(behaviour)

    found = transport.fail(MilvusConfig(server.url, token=TOKEN, retries=0), DESCRIBE)

    assert type(found) is kind
    assert PASSWORD not in str(found)
    assert len(str(found)) < 3000


#: What passes, with all that may be in it.
TAKEN: dict[str, Behaviour] = {
    "many parameters": Answer(many_params(9_000)),
    "parameters that repeat the token": Answer(described(indexParams=[{"key": ECHO, "value": TOKEN}] * (FULL // 140))),
    "parameters of escapes": Answer(described(indexParams=[{"key": "a", "value": '\\u0061%41&#97;"'}] * (FULL // 80))),
    "long reasons": Answer(described(failReason=f"{TOKEN} " * (FULL // len(TOKEN) // 2))),
    "packed": packed(many_params(9_000).encode()),
}


async def longest_block(work: Coroutine[Any, Any, T]) -> tuple[float, T]:
    """
    Tell for how long at most the event loop did not get round to other things.

    In seconds of CPU, so that what else the machine does is not counted: those of all threads, since one that holds
    the interpreter's lock is in the loop's way.
    """
    blocks = []

    async def tick() -> None:
        while True:
            before = time.process_time()
            await asyncio.sleep(0.001)
            blocks.append(time.process_time() - before)

    gc.collect()  # what the test before has left may be due at any time
    ticking = asyncio.ensure_future(tick())
    await asyncio.sleep(0.01)
    try:
        result = await work
        await asyncio.sleep(0.01)
    finally:
        ticking.cancel()
    return max(blocks), result


@pytest.mark.parametrize("case", [*REFUSED, *TAKEN])
def test_the_event_loop_goes_on(case: str, serve: Serve) -> None:
    behaviour = TAKEN.get(case) or REFUSED[case][0]
    assert isinstance(behaviour, Answer)
    # Encoded before: the server is in this process.
    lie = Answer(behaviour.encoded(), behaviour.status, behaviour.headers)
    server = serve({"indexes/list": ok([]), "indexes/describe": lie})

    async def poll() -> float:
        async with AsyncClient(MilvusConfig(server.url, token=TOKEN, retries=0)) as client:
            await client.send(indexes.list_("docs"))  # connected, all imported
            block, failed = await longest_block(fails(client))
            assert failed is (case in REFUSED)
        return block

    async def fails(client: AsyncClient) -> bool:
        try:
            await client.send(DESCRIBE)
        except errors.MilvusError:
            return True
        return False

    assert asyncio.run(poll()) < 0.05


def test_a_bomb_takes_little_memory(transport: Transport, serve: Serve) -> None:
    server = serve(Answer(BOMB, 200, {"Content-Encoding": "gzip"}))
    transport.fail(MilvusConfig(server.url, retries=0), DESCRIBE)  # all imported
    tracemalloc.start()
    try:
        found = transport.fail(MilvusConfig(server.url, retries=0), DESCRIBE)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "larger than 256 KiB" in str(found)
    assert peak < 10 * MIB


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate", "GZIP", "bare deflate", "identity", ""])
def test_what_is_compressed_is_read(encoding: str, transport: Transport, serve: Serve) -> None:
    squeeze = {
        "deflate": zlib.compress,
        "bare deflate": bare_deflate,
        "identity": bytes,
        "": bytes,
    }.get(encoding, gzip.compress)
    rows = [{"id": n, "text": "x" * 100} for n in range(20_000)]
    answers = {
        "indexes/describe": packed(described(totalRows=7), encoding.removeprefix("bare "), squeeze),
        "entities/query": packed({"code": 0, "data": rows}, encoding.removeprefix("bare "), squeeze),
    }
    (found,), read = transport.send(MilvusConfig(serve(answers).url), DESCRIBE, entities.query("docs"))
    assert found.total_rows == 7
    assert read == rows


HALF = gzip.compress(json.dumps(described()).encode())[:-12]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(HALF, 200, {"Content-Encoding": "gzip"}), errors.BrokenAnswerError),
        (Answer(b"{}", 200, {"Content-Encoding": "gzip"}), errors.BrokenAnswerError),
        (Answer(b"{}", 200, {"Content-Encoding": "br"}), errors.NotMilvusError),
        (Answer(b"{}", 503, {"Content-Encoding": "zstd"}), errors.GatewayError),
        (Answer(b"", 503, {"Content-Encoding": "gzip"}), errors.GatewayError),
    ],
)
def test_what_is_compressed_wrongly(
    answer: Answer, kind: type[errors.MilvusError], transport: Transport, serve: Serve, pauses: Pauses
) -> None:
    found = transport.fail(MilvusConfig(serve(answer).url, retries=1), DESCRIBE)
    assert type(found) is kind
