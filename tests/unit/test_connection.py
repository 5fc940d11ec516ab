"""An Airflow connection -> an endpoint."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk import Connection

from airflow_vectordb.hooks.connection import config_from_connection
from airflow_vectordb.hooks.connection_fields import EXTRA_FIELDS, STANDARD_FIELDS
from airflow_vectordb.rest import MilvusConfig
from airflow_vectordb.rest.errors import InvalidParametersError
from tests.support.harness import Operating


def config(database: str | None = None, /, **fields: Any) -> MilvusConfig:
    extra = fields.pop("extra", None)
    return config_from_connection(
        Connection(conn_id="c", conn_type="milvus", extra=json.dumps(extra) if extra else None, **fields), database
    )


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": "localhost"}, "http://localhost:19530"),
        ({"host": "localhost", "port": 1234}, "http://localhost:1234"),
        ({"host": "localhost:1234"}, "http://localhost:1234"),
        ({"host": " localhost "}, "http://localhost:19530"),
        ({"host": "localhost", "extra": {"secure": True}}, "https://localhost:19530"),
        ({"host": "localhost", "extra": {"secure": "true"}}, "https://localhost:19530"),
        ({"host": "localhost", "extra": {"secure": "False"}}, "http://localhost:19530"),
        ({"host": "https://in01-abc.zillizcloud.com"}, "https://in01-abc.zillizcloud.com"),
        ({"host": "https://in01-abc.zillizcloud.com/"}, "https://in01-abc.zillizcloud.com"),
        ({"host": "https://in01-abc.zillizcloud.com:19530"}, "https://in01-abc.zillizcloud.com:19530"),
        ({"host": "https://in01-abc.zillizcloud.com", "port": 443}, "https://in01-abc.zillizcloud.com:443"),
        ({"host": "in01-abc.zillizcloud.com"}, "https://in01-abc.zillizcloud.com"),
        ({"host": "in01-abc.zillizcloud.com."}, "https://in01-abc.zillizcloud.com."),
        ({"host": "in01-abc.zillizcloud.com", "extra": {"secure": False}}, "https://in01-abc.zillizcloud.com"),
        ({"host": "IN01-abc.cloud.zilliz.com:19530"}, "https://IN01-abc.cloud.zilliz.com:19530"),
        ({"host": "in01-abc.zillizcloud.com", "port": 19530}, "https://in01-abc.zillizcloud.com:19530"),
        ({"host": "zillizcloud.com.example.com"}, "http://zillizcloud.com.example.com:19530"),
        ({"host": "http://h", "extra": {"secure": True}}, "http://h"),
        ({"host": "https://gateway/milvus", "port": 8443}, "https://gateway:8443/milvus"),
        ({"host": "https://gateway/milvus"}, "https://gateway/milvus"),
        ({"host": "::1"}, "http://[::1]:19530"),
        ({"host": "[::1]:99"}, "http://[::1]:99"),
    ],
)
def test_where_a_connection_leads(fields: dict[str, Any], url: str) -> None:
    assert config(**fields).url == url


@pytest.mark.parametrize(
    ("login", "password", "header"),
    [
        ("root", "Milvus", "Bearer root:Milvus"),
        (None, "key-123", "Bearer key-123"),
        ("", "key-123", "Bearer key-123"),
        (None, None, None),
    ],
)
def test_the_token(login: str | None, password: str | None, header: str | None) -> None:
    assert config(host="h", login=login, password=password).headers().get("Authorization") == header


@pytest.mark.parametrize("extra", ["null", "{}", ""])
def test_no_extra(extra: str) -> None:
    assert config_from_connection(Connection(conn_id="c", conn_type="milvus", host="h", extra=extra)).timeout == 30


def test_a_task_warns_of_what_is_odd_once(operating: Operating, caplog: pytest.LogCaptureFixture) -> None:
    operating.connect("http://localhost:1", conn_type="http", port=2, extra={"tmeout": 3})
    with pytest.raises(InvalidParametersError, match="leave one of them out"):
        operating.execute(operating.operator())
    assert [message for message in caplog.messages if "'http'" in message or "tmeout" in message] == [
        "connection 'milvus_default': its type should be 'milvus', not 'http': "
        "only that one has the form and the Test button",
        "connection 'milvus_default': unknown extra 'tmeout'; did you mean 'timeout'?",
    ]


def test_database_timeout_retries_and_verify() -> None:
    made = config(host="h", schema="books", extra={"timeout": 2.5, "retries": 0, "verify": "/etc/ca.pem"})
    assert (made.database, made.timeout, made.retries, made.verify) == ("books", 2.5, 0, "/etc/ca.pem")
    assert made.headers()["Request-Timeout"] == "3"
    assert made.socket_timeout > 3
    assert config("films", host="h", schema="books").database == "films"
    plain = config(host="h")
    assert (plain.database, plain.timeout, plain.retries, plain.verify) == (None, 30.0, 4, True)
    texts = config(host="h", extra={"timeout": "2.5", "retries": "1", "verify": "false"})
    assert (texts.timeout, texts.retries, texts.verify) == (2.5, 1, False)


def test_a_uri_round_trips() -> None:
    connection = Connection.from_uri("milvus://root:Milvus@localhost:19530/default?timeout=5", conn_id="c")
    made = config_from_connection(connection)
    assert (made.url, made.token, made.database, made.timeout) == (
        "http://localhost:19530",
        "root:Milvus",
        "default",
        5,
    )
    again = config_from_connection(Connection.from_uri(connection.get_uri(), conn_id="c"))
    assert again == made


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "host is empty"),
        ({"host": "ftp://h"}, "http:// or https://"),
        ({"host": "https://root:secret-77@h"}, "belong in login and password"),
        ({"host": "https://h?x=1"}, "query"),
        ({"host": "http://h:99999"}, "not a URL"),
        ({"host": "a b"}, "host name"),
        ({"host": "h\tx"}, "host name"),
        ({"host": "h:abc"}, "not a URL: Port"),
        ({"host": "h", "login": "root"}, "login without a password"),
        ({"host": "ss", "schema": "secret-77@h:19530"}, "the schema has an @: in a URI, percent-encode"),
        ({"host": "h", "password": "secret-77\n"}, "control characters"),
        ({"host": "h", "extra": {"timeout": "soon"}}, "`timeout` must be a number"),
        ({"host": "h", "extra": {"timeout": -1}}, "above 0"),
        ({"host": "h", "extra": {"retries": 1.5}}, "whole number"),
        ({"host": "h", "extra": {"retries": -1}}, "0 or more"),
        ({"host": "h", "extra": {"secure": "perhaps"}}, "`secure` must be true or false"),
        (
            {"host": "h", "extra": {"client_cert": "/a.pem"}},
            "client_cert needs TLS: begin the URL with https://, or set",
        ),
        *(
            (
                {"host": "https://h", "extra": {"client_cert": value}},
                "client_cert must be the absolute path of a PEM file",
            )
            for value in (True, 5, "a.pem", ["/a.pem"], "-----BEGIN PRIVATE KEY----- secret-77")
        ),
    ],
)
def test_what_cannot_be_used_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidParametersError) as caught:
        config(**fields)
    assert words in str(caught.value)
    assert "'c'" in str(caught.value)
    assert "secret-77" not in str(caught.value)


@pytest.mark.parametrize(("extra", "words"), [("{timeout: 3}", "extra is not JSON"), ("[]", "not a JSON object")])
def test_an_extra_that_is_none_is_not_taken_for_nothing(extra: str, words: str) -> None:
    connection = Connection(conn_id="c", conn_type="milvus", host="h")
    connection.extra = extra
    with pytest.raises(InvalidParametersError, match=words):
        config_from_connection(connection)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(InvalidParametersError) as caught:
        config(login="root", extra={"timeout": "x", "secure": "y"})
    assert len(caught.value.problems) == 4


def test_an_unknown_extra_is_pointed_out(caplog: pytest.LogCaptureFixture) -> None:
    config(host="h", extra={"time_out": 3})
    assert "'time_out'" in caplog.text
    assert "did you mean 'timeout'?" in caplog.text


def test_the_form_comes_from_the_same_table() -> None:
    from airflow.providers_manager import ProvidersManager

    from airflow_vectordb.get_provider_info import get_provider_info

    (connection_type,) = get_provider_info()["connection-types"]
    assert list(connection_type["conn-fields"]) == [field.name for field in EXTRA_FIELDS]
    assert set(connection_type["ui-field-behaviour"]["relabeling"]) == {field.name for field in STANDARD_FIELDS}
    assert "airflow-vectordb" in ProvidersManager().providers
    assert "milvus" in dict(ProvidersManager().hooks)


def test_the_form_shows_the_defaults_of_the_configuration() -> None:
    shown = {field.name: field.schema["default"] for field in EXTRA_FIELDS if "default" in field.schema}
    assert shown == {"secure": False, "timeout": MilvusConfig.timeout, "retries": MilvusConfig.retries}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"conn_type": "milvus"}, None),
        ({"conn_type": "generic"}, "'milvus', not 'generic'"),
        ({"conn_type": "http"}, "'milvus', not 'http'"),
        ({"conn_type": None}, "'milvus', not ''"),
        ({"conn_type": "milvus", "extra": '{"timout": 3}'}, "did you mean 'timeout'"),
        ({"conn_type": "milvus", "extra": '{"console_url": "http://a:b@attu"}'}, "left out of links"),
        ({"conn_type": "milvus", "extra": '{"console_url": "attu:8000"}'}, "begin with http:// or https://"),
    ],
)
def test_what_works_and_is_odd_is_a_warning(
    fields: dict[str, Any], words: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    connection = Connection(conn_id="c", host="h", **fields)
    assert config_from_connection(connection).url == "http://h:19530"
    assert [words in message for message in caplog.messages] == ([] if words is None else [True])
    assert "a:b" not in caplog.text
    config_from_connection(connection, warn=False)
    assert len(caplog.messages) == (0 if words is None else 1)
