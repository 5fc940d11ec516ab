"""The table of the docs that says which call was run against what."""

from __future__ import annotations

from airflow_vectordb.local import LocalMilvus
from airflow_vectordb.rest import Client, MilvusConfig
from tests.support.every_call import functions_of_calls, outcomes, table


def test_the_table_has_every_function_and_its_path() -> None:
    assert {function: cells[0] for function, cells in table().items()} == functions_of_calls()


def test_the_table_says_what_milvus_lite_does(server: LocalMilvus) -> None:
    with Client(MilvusConfig(server.uri, token=server.token)) as client:
        found = outcomes(client, "every_call", "every_database")
    assert {path: lite for path, lite, *_ in table().values()} == found
