"""The token is nowhere but in the Authorization header, whatever a server does with it and whoever asks."""

from __future__ import annotations

import asyncio
import html
import json
import pickle
import traceback
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

import pytest
from airflow.sdk import DAG

from airflow_vectordb._compat import AirflowException
from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.rest import AsyncClient, Client, MilvusConfig, collections, indexes
from airflow_vectordb.rest.http.call import Call
from tests.support.fake_milvus import FakeMilvus
from tests.support.harness import LOGIN, PASSWORD, Logged, Operating, Pauses, Transport
from tests.support.scripted import Answer, Behaviour, CutOff, Raw, Serve, error, ok, page

TOKEN = f"{LOGIN}:{PASSWORD}"
DESCRIBE = indexes.describe("docs", "vector")


def described(**fields: Any) -> Answer:
    return ok([{"indexName": "vector", "fieldName": "vector", **fields}])


def echoes(text: str) -> dict[str, Behaviour]:
    """All places in which a server can repeat a text."""
    return {
        "message": error(1800, f"cannot accept {text}", 401),
        "message, at its cut": error(1800, "x" * 1990 + text),
        "code 65535": error(65535, f"what is {text}?"),
        "passing": error(1, f"not ready for {text}"),
        "plain text": Answer(f"you sent {text}", 400),
        "plain text, at its cut": Answer("x" * 195 + text, 400),
        "404": Answer(f"nothing here for {text}", 404),
        "503": Answer(f"nobody here for {text}", 503),
        "title": page(200, f"Hello {text}"),
        "JSON without code": Answer(json.dumps({"headers": text}, ensure_ascii=False)),
        "location": Answer("", 307, {"Location": f"http://127.0.0.1:1/?{text}".encode()}),
        "rows": described(totalRows=text),
        "not HTTP": Raw(f"ECHO {text}\r\n".encode()),
    }


CUT = len(TOKEN) // 2  # a text that ends within the token must not show its beginning
CASES = [(where, spelt) for where in echoes("") for spelt in (f"Bearer {TOKEN}", TOKEN, PASSWORD)]


def all_about(failure: BaseException) -> str:
    """All that logs, tracebacks and other processes get to see of an exception."""
    parts = [str(failure), repr(failure), *traceback.format_exception(failure)]
    return "\n".join([*parts, repr(failure.args), repr(vars(failure)), repr(pickle.dumps(failure))])


def assert_clean(text: str, secrets: Iterable[str] = (PASSWORD, PASSWORD[: len(PASSWORD) // 2])) -> None:
    for secret in secrets:
        assert secret not in text


@pytest.mark.parametrize(("where", "spelt"), CASES)
def test_a_server_that_repeats_the_token(
    where: str, spelt: str, transport: Transport, serve: Serve, pauses: Pauses, logged: Logged
) -> None:
    server = serve(echoes(spelt)[where])

    found = transport.fail(MilvusConfig(server.url, token=TOKEN, retries=1), DESCRIBE)

    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}".encode()
    assert_clean(all_about(found))
    assert_clean(logged.everything)
    if "cut" not in where:
        assert "***" in str(found)


ODD = {
    "two spaces": "two  spaces s3cret",
    "a backslash and quotes": "s3cret\\back'quo\"te",
    "letters": "pässwörd-数据",
    "Western letters": "pässwörd",
    "signs of URLs and HTML": "s3cret%40&amp;<x>@/?#",
}


def spellings(secret: str) -> dict[str, str]:
    """How a secret looks in texts of several kinds."""
    return {
        "as it is": secret,
        "in a URL": quote(secret, safe=""),
        "in a form": quote(secret, safe="").replace("%20", "+"),
        "in HTML": html.escape(secret),
        "in JSON": json.dumps(secret)[1:-1],
    }


@pytest.mark.parametrize("password", ODD.values(), ids=ODD)
@pytest.mark.parametrize("spelling", spellings(""))
def test_a_server_that_repeats_an_odd_password(
    spelling: str, password: str, transport: Transport, serve: Serve
) -> None:
    secret = spellings(password)[spelling]
    for where, behaviour in echoes(secret).items():
        server = serve(behaviour)

        found = transport.fail(MilvusConfig(server.url, token=f"ada:{password}", retries=0), DESCRIBE)

        as_bytes = [password.encode().decode("latin-1"), repr(password.encode())[2:-1]]
        for form in (*spellings(password).values(), *as_bytes, " ".join(password.split())):
            assert form not in str(found), where


@pytest.mark.parametrize("behaviour", [ok(["docs"]), error(1100, "no"), CutOff(), Raw(b"nonsense")])
def test_logs_of_all_levels(
    transport: Transport, serve: Serve, pauses: Pauses, logged: Logged, behaviour: Behaviour
) -> None:
    server = serve(behaviour)
    call: Call[Any] = collections.list_()
    config = MilvusConfig(server.url, token=TOKEN, retries=1)

    if isinstance(behaviour, Answer) and behaviour.body["code"] == 0:
        transport.send(config, call)
    else:
        transport.fail(config, call)

    assert logged.everything  # somebody does log: asyncio, urllib3 or we ourselves
    assert_clean(logged.everything)


def test_reprs() -> None:
    config = MilvusConfig("http://localhost:19530", token=TOKEN)
    shown = [config, replace(config, database="shop"), Client(config), AsyncClient(config), MilvusHook()]
    for one in shown:
        assert_clean(f"{one!r} {one}")


@pytest.mark.parametrize(
    "behaviour",
    [error(1800, f"not known: Bearer {TOKEN}"), error(1, f"not ready for {PASSWORD}"), page(200, f"Hello {TOKEN}")],
)
def test_a_task_that_fails(
    serve: Serve, operating: Operating, pauses: Pauses, logged: Logged, behaviour: Behaviour
) -> None:
    server = serve(FakeMilvus(faults={"indexes/create": [behaviour] * 3}))
    operating.connect(server)
    operator = operating.operator()

    with pytest.raises(AirflowException) as caught:
        operating.execute(operator)

    assert_clean("\n".join([str(caught.value), repr(caught.value), *traceback.format_exception(caught.value)]))
    assert_clean(logged.everything)
    assert_clean(repr(vars(operator)))


def test_a_failed_build_that_repeats_it(serve: Serve, operating: Operating, logged: Logged) -> None:
    reason = f"cannot write to minio as Bearer {TOKEN}"
    server = serve(FakeMilvus(progress=lambda name: {"indexState": "Failed", "failReason": reason}))

    with pytest.raises(AirflowException, match="cannot write to minio") as caught:
        operating.create(server)

    assert_clean("\n".join(traceback.format_exception(caught.value)))
    assert_clean(logged.everything)


def test_a_task_that_succeeds(serve: Serve, operating: Operating, logged: Logged) -> None:
    server = serve(FakeMilvus())
    operating.connect(server, extra={"console_url": "http://attu:8000"})
    operator = operating.operator()

    result = operating.execute(operator)

    assert_clean(json.dumps(result))
    assert_clean(repr(vars(operator)))
    assert_clean(logged.everything)
    assert any("HNSW" in line for line in logged.of("info"))


def test_the_serialized_dag(serve: Serve, operating: Operating) -> None:
    server = serve(FakeMilvus())
    operating.connect(server)
    with DAG("made_here", start_date=datetime(2024, 1, 1), schedule=None) as dag:
        operator = operating.operator()
    operating.execute(operator)

    serialized = json.dumps(_serialization().to_dict(dag))

    assert "CreateIndexOperator" in serialized
    assert_clean(serialized, [PASSWORD, TOKEN])


def _serialization() -> Any:
    from airflow.serialization import serialized_objects

    # Its name changed after Airflow 3.1.
    known: Any = serialized_objects
    return getattr(known, "DagSerialization", None) or known.SerializedDAG


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        ({}, [TOKEN]),
        ({"login": None, "password": "an-api-key"}, ["an-api-key"]),
        ({"login": None, "password": None}, []),
    ],
)
def test_the_composed_token_is_registered_with_the_masker(
    monkeypatch: pytest.MonkeyPatch, operating: Operating, fields: dict[str, Any], tokens: list[str]
) -> None:
    operating.connect("http://localhost:19530", **fields)
    masked: list[Any] = []
    monkeypatch.setattr("airflow.sdk.log.mask_secret", masked.append)

    config = MilvusHook().config

    assert config.token == (tokens[0] if tokens else None)
    assert [token for token in tokens if token not in masked] == []


@pytest.mark.parametrize(
    ("host", "port"),
    [
        (f"http://{TOKEN}@127.0.0.1:19530", None),
        (f"http://{TOKEN}@127.0.0.1", 19530),
        (f"http://{LOGIN}:{PASSWORD}/x@127.0.0.1:19530", None),
        (f"http://{LOGIN}:{PASSWORD}?x@127.0.0.1:19530", None),
        (f"http://{LOGIN}:{PASSWORD}#x@127.0.0.1:19530", None),
        (f"{TOKEN}@127.0.0.1:19530", None),
        (f"{TOKEN}@127.0.0.1", None),
        (f"{TOKEN}@127.0.0.1", 19530),
        (f"http://127.0.0.1:19530?token={TOKEN}", None),
    ],
)
def test_credentials_in_the_wrong_place(operating: Operating, logged: Logged, host: str, port: int | None) -> None:
    operating.connect(host, port=port, login=None, password=None)

    with pytest.raises(AirflowException, match="milvus_default") as caught:
        operating.execute(operating.operator())

    assert_clean("\n".join(traceback.format_exception(caught.value)))
    assert_clean(logged.everything)


def test_a_line_break_at_the_end_of_the_token(operating: Operating) -> None:
    operating.connect("http://localhost:19530", password=f"{PASSWORD}\n")

    with pytest.raises(AirflowException, match="control characters") as caught:
        operating.execute(operating.operator())

    assert_clean("\n".join(traceback.format_exception(caught.value)))
    assert_clean(with_locals(caught.value))


@pytest.mark.parametrize(
    "fields",
    [
        {"password": f"{PASSWORD}\n"},
        {"password": PASSWORD, "port": 99999},
        {"password": PASSWORD, "host": "ftp://h"},
        {"password": PASSWORD, "extra": {"verify": "/no/such.pem", "timeout": -1}},
        {"host": "https://h", "extra": {"client_cert": f"-----BEGIN PRIVATE KEY-----\n{PASSWORD}"}},
        {"login": None, "password": f"{PASSWORD}\r\n"},
        {"extra": {"timeout": "x", "console_url": f"http://ada:{PASSWORD}@attu/"}},
    ],
    ids=str,
)
def test_tracebacks_with_the_variables_of_each_function(
    fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {"conn_type": "milvus", "host": "h", "login": "ada", **fields}
    monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", json.dumps(connection))

    async def asynchronously() -> None:
        await MilvusHook().aconfig()

    for read in (lambda: MilvusHook().config, lambda: asyncio.run(asynchronously())):
        with pytest.raises(AirflowException) as caught:
            read()
        assert_clean(with_locals(caught.value))


def with_locals(error: BaseException) -> str:
    """Show the variables of all functions that are this package's, as Sentry, rich and others do."""
    found, trace = [], error.__traceback__
    while trace is not None:
        if "airflow_vectordb" in trace.tb_frame.f_code.co_filename and "tests" not in trace.tb_frame.f_code.co_filename:
            found.append(repr(trace.tb_frame.f_locals))
        trace = trace.tb_next
    assert found
    return "\n".join(found)


@pytest.mark.parametrize("token", ["ada:\udcff-s3cret-Lovelace"])
def test_a_token_that_cannot_be_encoded(transport: Transport, serve: Serve, token: str) -> None:
    server = serve([])
    with pytest.raises(ValueError, match="token") as caught:
        transport.send(MilvusConfig(server.url, token=token), DESCRIBE)
    assert_clean(all_about(caught.value))
    assert server.requests == []
