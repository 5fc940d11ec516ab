"""An object storage for each test, and a Milvus with a collection of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.local import LocalMilvus
from airflow_vectordb.rest import collections
from tests.support.s3_server import S3Server, s3_server

SCHEMA = {
    "fields": [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "text", "dataType": "VarChar", "elementTypeParams": {"max_length": 200}},
        {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": 4}},
    ]
}
FLAT = {"fieldName": "vector", "indexName": "vector", "metricType": "L2", "indexType": "FLAT", "params": {}}
_numbers = itertools.count()


@pytest.fixture(scope="module")
def server() -> Iterator[LocalMilvus]:
    with LocalMilvus() as running:
        yield running


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """The storage, and the connection ``minio`` to it: a new one for each test, with a new port."""
    from airflow.sdk.io import store

    with s3_server() as running:
        monkeypatch.setenv("AIRFLOW_CONN_MINIO", running.connection())
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr(store, "_STORE_CACHE", {})
        yield running


@pytest.fixture
def name(hook: MilvusHook) -> str:
    made = f"c{next(_numbers)}"
    hook.send(collections.create(made, schema=SCHEMA, index_params=[FLAT]))
    return made
