"""The table of the docs that says which call was run against what."""

from __future__ import annotations

import pytest

from airflow_vectordb.local import LocalMilvus
from airflow_vectordb.rest import Client, MilvusConfig, users
from airflow_vectordb.rest.errors import UnsupportedError
from tests.support.every_call import functions_of_calls, outcomes, table


def test_the_table_has_every_function_and_its_path() -> None:
    assert {function: cells[0] for function, cells in table().items()} == functions_of_calls()


def test_users_are_refused_in_clear_words(server: LocalMilvus) -> None:
    with (
        Client(MilvusConfig(server.uri, token=server.token)) as client,
        pytest.raises(UnsupportedError, match="users, roles and resource groups: not implemented by this local server"),
    ):
        client.send(users.list_())


def test_the_table_says_what_milvus_lite_does(server: LocalMilvus) -> None:
    with Client(MilvusConfig(server.uri, token=server.token)) as client:
        found = outcomes(client, "every_call", "every_database")
    assert {path: lite for path, lite, *_ in table().values()} == found
