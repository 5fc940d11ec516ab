"""Connections by URI, by JSON and from Airflow's own secrets backend for files: one endpoint, however it is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from airflow.sdk import Connection
from airflow.secrets.local_filesystem import LocalFilesystemBackend

from airflow_vectordb.hooks.connection import config_from_connection, console_link
from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.rest import MilvusConfig

PASSWORDS = [
    "Milvus",
    "p@ss",
    "a:b",
    "a/b",
    "100%",
    "what?",
    "#1",
    "a b+c&d=e",
    "q\"'\\q",
    "pässwörd-数据",
    "{json}",
    "://",
]
ZILLIZ = "https://in01-abc.aws-us-west-2.vectordb.zillizcloud.com"


def from_uri(uri: str) -> Connection:
    """Parse as Airflow does."""
    return Connection.from_uri(uri, conn_id="c")


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        (
            "milvus://root:Milvus@localhost:19530/default",
            MilvusConfig("http://localhost:19530", "root:Milvus", "default"),
        ),
        ("milvus://localhost", MilvusConfig("http://localhost:19530")),
        ("milvus://root:Milvus@localhost", MilvusConfig("http://localhost:19530", "root:Milvus")),
        ("milvus://:an-api-key@localhost/books", MilvusConfig("http://localhost:19530", "an-api-key", "books")),
        ("milvus://root:Milvus@[::1]:1234/", MilvusConfig("http://[::1]:1234", "root:Milvus")),
        ("milvus://[::1]", MilvusConfig("http://[::1]:19530")),
        ("milvus://localhost/?secure=true", MilvusConfig("https://localhost:19530")),
        (f"milvus://{ZILLIZ.replace('://', '://:key@')}", MilvusConfig(ZILLIZ, "key")),
        (f"milvus://{ZILLIZ.replace('://', '://:key@')}:443/books", MilvusConfig(f"{ZILLIZ}:443", "key", "books")),
        (f"milvus://:key@{quote(ZILLIZ, safe='')}/books", MilvusConfig(ZILLIZ, "key", "books")),
        (f"milvus://:key@{quote(ZILLIZ + ':19530', safe='')}", MilvusConfig(f"{ZILLIZ}:19530", "key")),
        # Not of type "milvus", but it says enough; and a token must not go out in the clear.
        (ZILLIZ.replace("://", "://:key@"), MilvusConfig(ZILLIZ, "key")),
        (f"{ZILLIZ.replace('://', '://root:pw@')}:19530/books", MilvusConfig(f"{ZILLIZ}:19530", "root:pw", "books")),
    ],
)
def test_uris(uri: str, expected: MilvusConfig) -> None:
    connection = from_uri(uri)
    assert config_from_connection(connection) == expected
    assert config_from_connection(from_uri(connection.get_uri())) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("secure=true&timeout=30&retries=0", {"url": "https://h:19530", "timeout": 30.0, "retries": 0}),
        ("secure=True&timeout=2.5", {"url": "https://h:19530", "timeout": 2.5}),
        ("secure=false&verify=false", {"verify": False}),
        ("secure=1&verify=0", {"url": "https://h:19530", "verify": False}),
        ("verify=true", {"verify": True}),
        ("verify=%2Fetc%2Fssl%2Four+ca.pem", {"verify": "/etc/ssl/our ca.pem"}),
        ("secure=true&client_cert=%2Fa+b.pem", {"url": "https://h:19530", "client_cert": "/a b.pem"}),
        ("secure=&client_cert=&verify=&timeout=&retries=&console_url=", {}),
        ("__extra__=%7B%22timeout%22%3A+60%2C+%22secure%22%3A+true%7D", {"url": "https://h:19530", "timeout": 60.0}),
    ],
)
def test_texts_of_a_query_get_their_types(query: str, expected: dict[str, Any]) -> None:
    connection = from_uri(f"milvus://h/?{query}")
    found = config_from_connection(connection)
    assert found == MilvusConfig(**{"url": "http://h:19530", **expected})
    assert [type(value) for value in (found.timeout, found.retries)] == [float, int]
    assert config_from_connection(from_uri(connection.get_uri())) == found


@pytest.mark.parametrize("login", ["root", "böb@example.com", ""])
@pytest.mark.parametrize("host", ["localhost", ZILLIZ, f"{ZILLIZ}:19530", "https://gateway/milvus", "::1"])
def test_all_of_it_round_trips(host: str, login: str, subtests: pytest.Subtests) -> None:
    console = "https://attu.example/?a=1&b={collection}#top"
    for password in PASSWORDS:
        connection = Connection(
            conn_id="c",
            conn_type="milvus",
            host=host,
            login=login or None,
            password=password,
            schema="bücher/1",
            extra=json.dumps({"timeout": 60, "retries": 1, "verify": "/etc/a b&c.pem", "console_url": console}),
        )
        with subtests.test(password=password):
            found = config_from_connection(connection)
            assert found.token == (f"{login}:{password}" if login else password)
            for again in (from_uri(connection.get_uri()), Connection.from_json(connection.as_json(), conn_id="c")):
                assert config_from_connection(again) == found
                assert console_link(again, None, "docs") == console.replace("{collection}", "docs")


@pytest.mark.parametrize("password", PASSWORDS)
def test_in_an_environment_variable(password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"conn_type": "milvus", "host": "h", "login": "root", "password": password, "extra": {"timeout": 60}}
    expected = MilvusConfig("http://h:19530", f"root:{password}", timeout=60)
    monkeypatch.setenv("AIRFLOW_CONN_JSON", json.dumps(fields))
    monkeypatch.setenv("AIRFLOW_CONN_PLAIN", json.dumps({**fields, "extra": json.dumps(fields["extra"])}))
    monkeypatch.setenv("AIRFLOW_CONN_URI", f"milvus://root:{quote(password, safe='')}@h/?timeout=60")
    assert [MilvusHook(conn_id).config for conn_id in ("json", "plain", "uri")] == [expected] * 3


FILES = {
    "connections.json": json.dumps(
        {
            "fields": {
                "conn_type": "milvus",
                "host": "h",
                "login": "root",
                "password": "p@:/%#",
                "extra": {"timeout": 9},
            },
            "uri": "milvus://root:p%40%3A%2F%25%23@h/?timeout=9",
        }
    ),
    "connections.yaml": """
        fields:
          conn_type: milvus
          host: h
          login: root
          password: "p@:/%#"
          extra:
            timeout: 9
        uri: milvus://root:p%40%3A%2F%25%23@h/?timeout=9
        """,
    # Airflow takes URIs only in these.
    "connections.env": "fields=milvus://root:p%40%3A%2F%25%23@h/?timeout=9\nuri=milvus://root:p%40%3A%2F%25%23@h/?timeout=9",
}


@pytest.mark.parametrize("name", FILES)
def test_airflows_secrets_backend_for_files(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(FILES[name])
    backend = LocalFilesystemBackend(connections_file_path=str(path))
    for conn_id in ("fields", "uri"):
        connection = backend.get_connection(conn_id)
        assert connection is not None
        assert config_from_connection(connection) == MilvusConfig("http://h:19530", "root:p@:/%#", timeout=9)


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": "h:1", "port": 1}, "http://h:1"),
        ({"host": "[::1]:1", "port": 1}, "http://[::1]:1"),
        ({"host": "h", "port": 65535}, "http://h:65535"),
        ({"host": "http://h:1", "port": 1}, "http://h:1"),
        ({"host": "https://h:8443/milvus", "port": "8443"}, "https://h:8443/milvus"),
        ({"host": "http://[::1]:1", "port": 1}, "http://[::1]:1"),
        ({"host": "h", "port": 0}, "http://h:19530"),
        ({"host": "h", "port": "1234"}, "http://h:1234"),
    ],
)
def test_ports(fields: dict[str, Any], url: str) -> None:
    assert config_from_connection(Connection(conn_id="c", conn_type="milvus", **fields)).url == url


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"host": "h", "port": 99999}, "from 1 to 65535, not 99999"),
        ({"host": "h", "port": -1}, "from 1 to 65535, not -1"),
        ({"host": "https://h", "port": 99999}, "from 1 to 65535, not 99999"),
        ({"host": "h:99999"}, "'http://h:99999' is not a URL: Port out of range"),
        ({"host": "h:1", "port": 2}, "leave one of them out"),
        ({"host": "http://h:1", "port": 2}, "names the port 1, and the port is 2: leave one of them out"),
        ({"host": "https://h:1/milvus", "port": 443}, "leave one of them out"),
        ({"host": "http://[::1]:1", "port": "2"}, "leave one of them out"),
        ({"host": "HTTP://h:1/", "port": 2}, "leave one of them out"),
    ],
)
def test_ports_that_are_none(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        config_from_connection(Connection(conn_id="c", conn_type="milvus", **fields))
