"""Operators give advice of their own only where the server's answer is really about that."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_vectordb._compat import AirflowFailException
from airflow_vectordb.operators.collection import LoadCollectionOperator, ReleaseCollectionOperator
from airflow_vectordb.operators.index import DropIndexOperator
from airflow_vectordb.rest import errors
from tests.support.fake_milvus import FakeMilvus
from tests.support.harness import Operating, Pauses
from tests.support.loading_milvus import Store
from tests.support.scripted import Behaviour, Serve, error


def denied(privilege: str) -> Behaviour:
    refused = f"Privilege{privilege}: permission deny to etl in the `default` database"
    return error(65535, f"rpc error: code = PermissionDenied desc = {refused}", 403)


def drop(operating: Operating) -> Any:
    return operating.execute(DropIndexOperator(task_id="it", collection_name="docs", index_name="vector"))


def load(operating: Operating) -> Any:
    return operating.execute(LoadCollectionOperator(task_id="it", collection_name="docs"))


def release(operating: Operating) -> Any:
    return operating.execute(ReleaseCollectionOperator(task_id="it", collection_name="docs"))


def create(operating: Operating) -> Any:
    return operating.execute(operating.operator(task_id="it"))


def replace(operating: Operating) -> Any:
    ti = SimpleNamespace(try_number=1, dag_id="d", run_id="r", task_id="it", map_index=-1)
    task: Any = operating.operator(task_id="it", if_exists="replace")
    return task.execute({"ti": ti, "task_state_store": Store()})


#: Task, the call that the server refuses, what it wants, and what operators say of other refusals of that call
TASKS = {
    "drop": (drop, "indexes/drop", "DropIndex", "elease"),
    "load": (load, "collections/load", "Load", "index"),
    "release": (release, "collections/release", "Release", "index"),
    "create": (create, "indexes/create", "CreateIndex", "drop"),
    "replace": (replace, "indexes/create", "CreateIndex", "drop"),
    "describe": (create, "collections/describe", "DescribeCollection", "drop"),
}


@pytest.mark.parametrize("task", TASKS)
def test_a_missing_privilege(task: str, serve: Serve, operating: Operating, pauses: Pauses) -> None:
    run, path, privilege, other = TASKS[task]
    milvus = FakeMilvus(faults={path: [denied(privilege)]}, tells=False)
    milvus.add("vector", M=16, efConstruction=200)
    server = serve(milvus)
    operating.connect(server)

    with pytest.raises(AirflowFailException) as caught:
        run(operating)

    assert isinstance(caught.value, errors.PermissionDeniedError)
    told = str(caught.value)
    assert told.startswith(
        f"No privilege {privilege} for user 'etl' in database 'default'. Grant it to the user's role."
    )
    assert other not in told[:100].replace(privilege, "")
    assert server.paths.count(path) == 1


@pytest.mark.parametrize(
    ("task", "answer", "words", "not_told"),
    [
        ("drop", error(65535, "index of type X is still being built"), 'Milvus refuses: "index of type X', "elease"),
        ("drop", error(1100, "invalid index name"), "Milvus refuses", "elease"),
        ("load", error(65535, "resource group is full"), 'Milvus refuses: "resource group is full"', "CreateIndex"),
        ("load", error(65535, "can't find collection"), "Collection 'docs' does not exist. Create it first", "index"),
        ("create", error(65535, "M out of range: [1, 2048]"), 'Milvus refuses: "M out of range: [1, 2048]"', "drop"),
    ],
)
def test_something_else_is_wrong(
    task: str, answer: Behaviour, words: str, not_told: str, serve: Serve, operating: Operating
) -> None:
    run, path, *_ = TASKS[task]
    milvus = FakeMilvus(faults={path: [answer]}, tells=False)
    milvus.add("vector", M=16, efConstruction=200)
    operating.connect(serve(milvus))

    with pytest.raises(AirflowFailException) as caught:
        run(operating)

    assert str(caught.value).startswith(words)
    assert not_told not in str(caught.value)[:100].replace(path, "")


@pytest.mark.parametrize(
    ("task", "answer", "words"),
    [
        (
            "drop",
            error(65535, "index cannot be dropped, collection is loaded, please release it first"),
            "an index of a loaded collection cannot be dropped. Release it first (ReleaseCollectionOperator).",
        ),
        (
            "drop",
            error(1100, "vector index cannot be dropped on loaded collection: 447"),
            "an index of a loaded collection cannot be dropped. Release it first (ReleaseCollectionOperator).",
        ),
        *(
            (
                "load",
                answer,
                "a vector field has no index in 'docs'. Create it first (CreateIndexOperator).",
            )
            for answer in (
                error(700, "index not found[collection=docs]"),
                error(65535, "there is no vector index on field: [v w], please create index firstly"),
                error(65535, "index not found[collection=docs]"),
            )
        ),
        (
            "create",
            error(65535, "CreateIndex failed: at most one distinct index is allowed per field"),
            'another index exists: docs/vector: M: unknown -> 16, efC… Set if_exists="replace"',
        ),
    ],
)
def test_it_is_of_that_kind(task: str, answer: Behaviour, words: str, serve: Serve, operating: Operating) -> None:
    run, path, *_ = TASKS[task]
    milvus = FakeMilvus(faults={path: [answer] * 2}, tells=False)
    milvus.add("vector", M=16, efConstruction=200)
    operating.connect(serve(milvus))

    with pytest.raises(AirflowFailException) as caught:
        run(operating)

    assert str(caught.value)[:60] == words[:60]
    assert words.rpartition(". ")[2] in str(caught.value)[:100]
