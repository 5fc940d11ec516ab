"""The extra link to the console of an instance."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_vectordb.get_provider_info import get_provider_info
from airflow_vectordb.links import MilvusConsoleLink

ATTU = "http://attu:8000/#/databases/{database}/{collection}/overview"


@pytest.mark.parametrize(
    ("connection", "database", "link"),
    [
        (
            {"host": "milvus", "extra": {"console_url": ATTU}},
            None,
            "http://attu:8000/#/databases/default/docs/overview",
        ),
        (
            {"host": "milvus", "schema": "sales", "extra": {"console_url": ATTU}},
            None,
            "http://attu:8000/#/databases/sales/docs/overview",
        ),
        (
            {"host": "milvus", "schema": "sales", "extra": {"console_url": ATTU}},
            "a b",
            "http://attu:8000/#/databases/a%20b/docs/overview",
        ),
        ({"host": "milvus", "extra": {"console_url": "http://milvus:9091/webui"}}, None, "http://milvus:9091/webui"),
        ({"host": "https://in01.zillizcloud.com"}, None, "https://cloud.zilliz.com"),
        ({"host": "in01.gcp.cloud.zilliz.com.cn"}, None, "https://cloud.zilliz.com.cn"),
        ({"host": "in01.zillizcloud.com", "extra": {"console_url": "https://mine"}}, None, "https://mine"),
        ({"host": "zillizcloud.com.example.com"}, None, ""),
        ({"host": "milvus"}, None, ""),
        ({"host": "milvus", "extra": {"console_url": "javascript:alert(1)"}}, None, ""),
        ({"host": "milvus", "extra": {"console_url": 5}}, None, ""),
        ({"host": "milvus", "extra": {"console_url": "http://[x/{collection}"}}, None, ""),
        ({"host": "http://[bad"}, None, ""),
        # A link is for all who may see the task.
        ({"host": "m", "extra": {"console_url": "https://ada:pw@attu/{collection}"}}, None, "https://attu/docs"),
        ({"host": "m", "extra": {"console_url": "https://ada@attu:8000/?a=1"}}, None, "https://attu:8000/?a=1"),
        ({"host": "m", "extra": {"console_url": "https://a:b@c:d@attu/"}}, None, "https://attu/"),
        ({"host": "m", "extra": {"console_url": "https://ada:p/w@attu/"}}, None, ""),
        ({"host": "m", "extra": {"console_url": "https://ada:p#w@attu/"}}, None, ""),
        ({"host": "m", "extra": {"console_url": "https://ada:p\\w@attu/"}}, None, ""),
    ],
)
def test_where_it_leads(
    connection: dict[str, Any], database: str | None, link: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"conn_type": "milvus", "login": "ada", "password": "s3cret-Lovelace", **connection}
    monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", json.dumps(given))
    operator = SimpleNamespace(milvus_conn_id="milvus_default", database=database, collection_name="docs")
    assert MilvusConsoleLink().get_link(operator, ti_key=None) == link


def test_without_a_connection_there_is_none() -> None:
    operator = SimpleNamespace(milvus_conn_id="no_such_connection", database=None, collection_name="docs")
    assert MilvusConsoleLink().get_link(operator, ti_key=None) == ""


def test_airflow_knows_it() -> None:
    assert get_provider_info()["extra-links"] == ["airflow_vectordb.links.MilvusConsoleLink"]
