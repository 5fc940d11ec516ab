"""What goes over the wire, and over which wire: headers, databases, kept connections, proxies, ``.netrc``."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.rest import MilvusConfig, collections, databases, entities, errors, indexes
from tests.support.fake_milvus import FakeMilvus
from tests.support.harness import HNSW, LOGIN, PASSWORD, Operating, Pauses, Transport
from tests.support.scripted import Answer, Raw, Serve, error, ok, page

LIST = collections.list_()
NOTHING = ok([])


@pytest.mark.parametrize(("timeout", "told"), [(30.0, b"30"), (0.2, b"1"), (2.5, b"3")])
def test_headers_of_each_request(transport: Transport, serve: Serve, timeout: float, told: bytes) -> None:
    server = serve(NOTHING)

    transport.send(MilvusConfig(server.url, token="ada:s3cret", timeout=timeout), LIST, LIST)

    assert len(server.requests) == 2
    for request in server.requests:
        assert request.headers["authorization"] == b"Bearer ada:s3cret"
        assert request.headers["request-timeout"] == told
        assert request.headers["accept-type-allow-int64"] == b"true"
        assert request.headers["content-type"] == b"application/json"
        assert request.raw.startswith(b"POST /v2/vectordb/collections/list HTTP/1.1\r\n")
        assert request.body == {}


def test_no_token_no_header(transport: Transport, serve: Serve) -> None:
    server = serve(NOTHING)
    transport.send(MilvusConfig(server.url), LIST)
    assert "authorization" not in server.requests[0].headers


@pytest.mark.parametrize(
    "token", ["root:Milvus", "db_admin:pässwörd-数据-🔑", "an-api-key", "ada:with:colons and spaces"]
)
def test_tokens_arrive_as_they_are(transport: Transport, serve: Serve, token: str) -> None:
    server = serve(NOTHING)
    transport.send(MilvusConfig(server.url, token=token), LIST)
    assert server.requests[0].headers["authorization"] == f"Bearer {token}".encode()


@pytest.mark.parametrize("by_variable", [False, True])
@pytest.mark.parametrize("token", [None, "ada:s3cret"])
def test_netrc_is_not_consulted(
    transport: Transport,
    serve: Serve,
    token: str | None,
    by_variable: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login mallory password other\ndefault login mallory password other\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    if by_variable:
        monkeypatch.setenv("NETRC", str(netrc))
    server = serve(NOTHING)

    transport.send(MilvusConfig(server.url, token=token), LIST)

    assert server.requests[0].headers.get("authorization") == (f"Bearer {token}".encode() if token else None)


def test_a_prefix_of_a_gateway_is_kept(transport: Transport, serve: Serve) -> None:
    server = serve(NOTHING)
    transport.send(MilvusConfig(f"{server.url}/milvus/"), LIST)
    assert server.paths == ["/milvus/v2/vectordb/collections/list"]


@pytest.mark.parametrize(
    ("of_connection", "of_hook", "of_call", "sent"),
    [
        (None, None, None, None),
        ("c", None, None, "c"),
        ("c", "h", None, "h"),
        (None, "h", None, "h"),
        ("c", "h", "l", "l"),
        ("c", None, "l", "l"),
    ],
)
def test_the_nearest_database_wins(
    serve: Serve,
    operating: Operating,
    of_connection: str | None,
    of_hook: str | None,
    of_call: str | None,
    sent: str | None,
) -> None:
    server = serve({"collections/list": NOTHING, "databases/list": ok(["default"])})
    operating.connect(server, schema=of_connection)

    with MilvusHook(database=of_hook) as hook:
        hook.send(collections.list_(database=of_call))
        hook.send(databases.list_())

    assert server.bodies("collections/list") == [{"dbName": sent} if sent else {}]
    assert server.bodies("databases/list") == [{"dbName": "default"}]  # it must work while one's own is missing


@pytest.mark.usefixtures("clock")
def test_the_operators_database_is_in_all_of_its_calls(serve: Serve, operating: Operating) -> None:
    server = serve(FakeMilvus())
    operating.connect(server, schema="connection")

    operating.execute(operating.operator(database="task", flush=True))

    assert {request.body.get("dbName") for request in server.requests} == {"task"}
    assert "collections/flush" in server.paths


def test_a_run_with_nothing_there_before_takes_few_requests_on_one_connection(
    serve: Serve, operating: Operating
) -> None:
    server = serve(FakeMilvus())

    operating.create(server, [HNSW])

    assert server.paths.count("indexes/create") == 1
    assert len(server.requests) <= 5
    assert server.connections == 1
    authorizations = {request.headers["authorization"] for request in server.requests}
    assert authorizations == {f"Bearer {LOGIN}:{PASSWORD}".encode()}


def test_connections_are_kept(transport: Transport, serve: Serve) -> None:
    server = serve(NOTHING)
    transport.send(MilvusConfig(server.url), *[LIST] * 10)
    assert (len(server.requests), server.connections) == (10, 1)


def test_calls_that_are_made_in_turn_and_again_have_their_own_bodies(transport: Transport, serve: Serve) -> None:
    server = serve(NOTHING)
    a, b = indexes.list_("a"), indexes.list_("b")
    transport.send(MilvusConfig(server.url, database="ours"), a, a, b, a)
    assert [request.body for request in server.requests] == [
        {"dbName": "ours", "collectionName": name} for name in "aaba"
    ]


def test_a_kept_connection_that_the_server_closed_is_replaced(
    transport: Transport, serve: Serve, pauses: Pauses
) -> None:
    answer = Answer({"code": 0, "data": {"insertCount": 1, "insertIds": [1]}})
    server = serve(Raw(answer.head(len(answer.encoded())) + answer.encoded()))
    insert = entities.insert("docs", [{"vector": [0.5]}])

    transport.send(MilvusConfig(server.url), insert, insert, insert, idle=0.05)

    assert (len(server.requests), server.connections) == (3, 3)
    assert pauses == []


def test_compressed_and_chunked_answers(transport: Transport, serve: Serve) -> None:
    body = gzip.compress(json.dumps({"code": 0, "data": [f"collection_{n}" for n in range(5000)]}).encode())
    head = Answer({}, headers={"Content-Encoding": "gzip", "Transfer-Encoding": "chunked"}).head(None)
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:10], body[10:]))
    server = serve(Raw(head + chunks + b"0\r\n\r\n"))

    ((*_, last),) = transport.send(MilvusConfig(server.url), LIST)

    assert last == "collection_4999"


def test_proxies_of_the_environment_are_heeded(
    transport: Transport, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, server = serve(NOTHING), serve(NOTHING)
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    transport.send(MilvusConfig("http://milvus.invalid:19530"), LIST)
    transport.send(MilvusConfig(server.url), LIST)

    assert proxy.paths == ["http://milvus.invalid:19530/v2/vectordb/collections/list"]
    assert server.paths == ["collections/list"]


def test_a_proxy_that_cannot_be_reached_is_named(
    transport: Transport, serve: Serve, pauses: Pauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve([], listening=False)
    monkeypatch.setenv("http_proxy", f"http://mallory:proxy-s3cret@127.0.0.1:{proxy.port}")

    found = transport.fail(MilvusConfig("http://milvus.invalid:19530", retries=1), LIST)

    assert type(found) is errors.ConnectError
    assert "proxy" in str(found)
    assert "s3cret" not in str(found)
    assert len(pauses) == 1


def test_several_descriptions_of_one_name_are_all_read(transport: Transport, serve: Serve) -> None:
    one = {"indexName": "v", "fieldName": "vector"}
    server = serve(ok([one, {**one, "indexName": "other"}, one]))

    (found,) = transport.send(MilvusConfig(server.url), indexes.describe("docs", "v"))

    assert [description.index_name for description in found] == ["v", "v"]


# The Test button of the Connections page ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, f"as {LOGIN}, database default, 2 collections"),
        ({"schema": "shop"}, "database shop"),
        ({"login": None}, "with an API key"),
        ({"login": None, "password": None}, "without credentials"),
    ],
)
def test_the_test_button(serve: Serve, operating: Operating, fields: dict[str, str], words: str) -> None:
    server = serve(ok(["docs", "more"]))
    operating.connect(server, **fields)

    works, message = MilvusHook().test_connection()

    assert works
    assert words in message
    assert server.url in message
    assert PASSWORD not in message
    assert len(server.requests) == 1


def test_the_test_button_says_what_is_wrong(serve: Serve, operating: Operating, pauses: Pauses) -> None:
    answers = [error(1800, f"no user {LOGIN}:{PASSWORD}", 401), page(200, "Attu"), page(503)]
    server = serve(answers)
    operating.connect(server, extra={"retries": 4})

    tried = [MilvusHook().test_connection() for _ in answers]

    assert [works for works, _ in tried] == [False] * 3
    for (_, message), words in zip(tried, ["does not accept the credentials", "Attu", "HTTP 503"], strict=True):
        assert words in message
        assert PASSWORD not in message
    assert len(server.requests) == 3  # somebody is waiting in front of the form: no retries
    operating.connect("", password=None)
    works, message = MilvusHook().test_connection()
    assert not works
    assert "host is empty" in message
    assert "login without a password" in message
