"""Fixtures for tests of your own DAGs and tasks, with a local Milvus.

In your ``conftest.py``::

    pytest_plugins = ["airflow_vectordb.local.pytest_plugin"]

- ``milvus_server``: a local server for the whole session, started when a test first uses it.
- ``milvus_connection``: for one test, an empty database on that server, and Airflow's connection ``milvus_default`` to
  it.

It needs the extra ``local`` and pytest, and is not loaded automatically.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from airflow_vectordb import rest
from airflow_vectordb.local.process import LocalMilvus

__all__ = ["milvus_connection", "milvus_server"]

CONNECTION_VARIABLE = "AIRFLOW_CONN_MILVUS_DEFAULT"

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def milvus_server() -> Iterator[LocalMilvus]:
    """Run a :class:`~airflow_vectordb.local.LocalMilvus` for all tests, on a free port and with temporary data."""
    with LocalMilvus() as server:
        yield server


@pytest.fixture
def milvus_connection(milvus_server: LocalMilvus, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Set the connection ``milvus_default``, for one test, to an empty database that is dropped after it.

    Gives the id of the connection. It is set in the environment, so processes that the test starts have it too.
    """
    database = f"test_{os.getpid()}_{next(_numbers)}"
    user, _, password = (milvus_server.token or "").partition(":")
    address = urlsplit(milvus_server.uri)
    connection = {
        "conn_type": "milvus",
        "host": address.hostname,
        "port": address.port,
        "login": user,
        "password": password,
        "schema": database,
    }
    for name in ("NO_PROXY", "no_proxy"):
        # A proxy cannot reach this machine's ports.
        monkeypatch.setenv(name, ",".join(filter(None, [os.environ.get(name), address.hostname])))
    with rest.Client(rest.MilvusConfig(milvus_server.uri, token=milvus_server.token)) as client:
        client.send(rest.databases.create(database))
        monkeypatch.setenv(CONNECTION_VARIABLE, json.dumps(connection))
        try:
            yield "milvus_default"
        finally:
            _drop(client, database)


def _drop(client: rest.Client, database: str) -> None:
    """Drop a database with all that is in it."""
    for alias in client.send(rest.aliases.list_(database=database)):
        client.send(rest.aliases.drop(alias, database=database))
    for collection in client.send(rest.collections.list_(database=database)):
        client.send(rest.collections.drop(collection, database=database))
    client.send(rest.databases.drop(database))
