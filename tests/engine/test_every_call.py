"""The table of the docs that says which call was run against what, of a real Milvus."""

from __future__ import annotations

from airflow_vectordb.local import LocalMilvus
from airflow_vectordb.rest import Client, MilvusConfig
from tests.support.every_call import outcomes, table
from tests.support.milvus_server import MilvusServer


def test_the_table_says_what_a_real_milvus_does(front: LocalMilvus, milvus: MilvusServer) -> None:
    with Client(MilvusConfig(front.uri, token=milvus.token)) as client:
        found = outcomes(client, "every_call", "every_database")
    assert {path: real for path, _, real, *_ in table().values()} == found
