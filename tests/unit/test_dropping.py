"""Dropping indexes: what is there, what is not, and what is in use."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_vectordb._compat import AirflowFailException
from airflow_vectordb.operators.collection import DropCollectionOperator
from airflow_vectordb.operators.index import DropIndexOperator
from tests.support.fake_milvus import NO_COLLECTION, FakeMilvus
from tests.support.harness import Operating
from tests.support.scripted import ScriptedServer, Serve, error, ok


def drop(operating: Operating, server: ScriptedServer, try_number: int = 1, **arguments: Any) -> bool:
    operating.connect(server)
    given = {"task_id": "drop", "collection_name": "docs", "index_name": "vector", **arguments}
    return bool(operating.execute(DropIndexOperator(**given), try_number))


def test_dropping(serve: Serve, operating: Operating) -> None:
    milvus = FakeMilvus()
    milvus.add("vector")
    milvus.add("label", "TRIE", "")
    server = serve(milvus)

    assert drop(operating, server) is True
    assert drop(operating, server) is False

    assert list(milvus.indexes) == ["label"]
    assert server.paths.count("indexes/drop") == 1


def test_dropping_what_must_be_there(serve: Serve, operating: Operating) -> None:
    server = serve(FakeMilvus())

    with pytest.raises(AirflowFailException, match=r"'vector'.*code 700"):
        drop(operating, server, if_missing="fail")
    assert drop(operating, server, try_number=2, if_missing="fail") is False  # the first try may have done it

    assert "indexes/drop" not in server.paths


def test_dropping_in_a_collection_that_is_not_there(serve: Serve, operating: Operating) -> None:
    with pytest.raises(AirflowFailException, match=r"'nope'.*code 100"):
        drop(operating, serve(FakeMilvus()), collection_name="nope")


@pytest.mark.parametrize("code", [65535, 1100])
def test_dropping_what_is_in_use(code: int, serve: Serve, operating: Operating) -> None:
    fault = error(code, "vector index cannot be dropped on loaded collection")
    milvus = FakeMilvus(faults={"indexes/drop": [fault]})
    milvus.add("vector")
    server = serve(milvus)

    with pytest.raises(AirflowFailException, match=r"loaded collection.*ReleaseCollectionOperator"):
        drop(operating, server)

    assert server.paths.count("indexes/drop") == 1


def test_a_collection_that_another_client_drops_meanwhile(serve: Serve, operating: Operating) -> None:
    described = {"collectionName": "docs", "fields": []}  # as of a server that does not describe aliases
    answers = {"collections/describe": ok(described), "aliases/describe": error(1600), "aliases/list": NO_COLLECTION}
    operating.connect(serve(answers))
    assert operating.execute(DropCollectionOperator(task_id="drop", collection_name="docs")) is False
