"""``flush=True``, partitions and aliases on a real engine, whose flush is answered before its rows are counted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import orjson
import pytest

from airflow_vectordb.operators.collection import LoadCollectionOperator, ReleaseCollectionOperator
from airflow_vectordb.operators.index import CreateIndexOperator
from tests.support.engine_api import HNSW, Api, await_counted, await_loaded
from tests.support.engine_ways import Triggerer, Waiting, go
from tests.support.milvus_server import MilvusServer

COUNT, DIM = 6_000, 64
SCHEMA = {
    "fields": [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": DIM}},
    ]
}

pytestmark = pytest.mark.usefixtures("connection")
Run = Callable[..., Any]


def insert(api: Api, name: str, first: int, count: int, path: str = "entities/insert", **more: Any) -> None:
    vectors = np.random.default_rng(first).standard_normal((count, DIM), dtype=np.float32)
    rows = [{"id": first + i, "v": vectors[i]} for i in range(count)]
    body = orjson.dumps({"collectionName": name, "data": rows, **more}, option=orjson.OPT_SERIALIZE_NUMPY)
    answer = api.session.post(f"{api.uri}/v2/vectordb/{path}", data=body, timeout=60).json()
    assert answer["code"] == 0, answer


@pytest.fixture(params=["in the worker", "deferrable"])
def run(request: pytest.FixtureRequest, name: str) -> Run:
    """Run an operator on the collection, through all of its deferrals."""

    def running(kind: type[Any] = CreateIndexOperator, **arguments: Any) -> Any:
        given: dict[str, Any] = {"task_id": "it", "collection_name": name, "timeout": 120, **arguments}
        if kind is CreateIndexOperator:
            given = {"index_params": HNSW, "flush": True, **given}
        waiting = Waiting("it", lambda: kind(deferrable=request.param == "deferrable", **given))
        with Triggerer() as triggerer:
            go(waiting, triggerer)
        return waiting.result

    return running


@contextmanager
def writers(api: Api, name: str) -> Iterator[None]:
    """Go on inserting and flushing in small batches until the block ends."""
    ended = threading.Event()

    def write() -> None:
        other = Api(api.uri, api.session.headers["Authorization"].removeprefix("Bearer "))
        with other.session:
            for first in range(1_000_000, 2_000_000, 100):
                insert(other, name, first, 100)
                other.post("collections/flush", collectionName=name)
                if ended.wait(0.5):
                    return

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(60)


class TestFlush:
    @pytest.fixture(autouse=True)
    def collection(self, api: Api, name: str) -> None:
        api.ok("collections/create", collectionName=name, schema=SCHEMA)

    def test_the_index_covers_what_was_inserted_before(
        self, run: Run, api: Api, name: str, milvus: MilvusServer
    ) -> None:
        insert(api, name, 0, COUNT)

        (index,) = run()

        assert milvus.pending(name, HNSW["indexName"]) == 0
        assert (index["state"], index["total_rows"], index["pending_rows"]) == ("Finished", COUNT, 0)

    def test_so_it_does_beside_rows_that_are_indexed_and_loaded(self, run: Run, api: Api, name: str) -> None:
        """An upsert of all keys: neither the number of rows nor that of keys tells that anything is missing."""
        insert(api, name, 0, COUNT)
        api.ok("collections/flush", collectionName=name)
        await_counted(api, name, COUNT)
        api.ok("indexes/create", collectionName=name, indexParams=[HNSW])
        api.ok("collections/load", collectionName=name)
        await_loaded(api, name)
        insert(api, name, 0, COUNT, "entities/upsert")

        (index,) = run()

        assert (index["total_rows"], index["pending_rows"]) == (2 * COUNT, 0)

    def test_an_empty_collection(self, run: Run) -> None:
        (index,) = run()
        assert index["total_rows"] == 0

    def test_others_go_on_writing(self, run: Run, api: Api, name: str) -> None:
        insert(api, name, 0, COUNT)
        with writers(api, name):
            (index,) = run()
        assert index["total_rows"] - index["pending_rows"] >= COUNT

    def test_at_least_so_many_rows(self, run: Run, api: Api, name: str) -> None:
        """They are flushed by another client, later."""
        insert(api, name, 0, COUNT)
        flush = threading.Timer(2, api.ok, ("collections/flush",), {"collectionName": name})
        flush.start()

        (index,) = run(flush=False, min_rows=str(COUNT))

        flush.join()
        assert (index["total_rows"], index["pending_rows"]) == (COUNT, 0)


class TestPartitions:
    @pytest.fixture(autouse=True)
    def collection(self, api: Api, name: str) -> None:
        """Make a collection with an index and two partitions more, of which ``p1`` is loaded."""
        api.ok("collections/create", collectionName=name, schema=SCHEMA)
        for partition in ("p1", "p2"):
            api.ok("partitions/create", collectionName=name, partitionName=partition)
            insert(api, name, 0, 1_000, partitionName=partition)
        api.ok("collections/flush", collectionName=name)
        await_counted(api, name, 2_000)
        api.ok("indexes/create", collectionName=name, indexParams=[HNSW])
        api.ok("partitions/load", collectionName=name, partitionNames=["p1"])
        await_loaded(api, name, partitionNames=["p1"])

    def loaded(self, milvus: MilvusServer, name: str) -> dict[str, str]:
        states = {p: milvus.client.get_load_state(name, p)["state"].name for p in ("_default", "p1", "p2")}
        return {partition: state for partition, state in states.items() if state != "NotLoad"}

    def test_replacing_loads_what_was_loaded(self, run: Run, name: str, milvus: MilvusServer) -> None:
        wider = {**HNSW, "params": {"M": 32, "efConstruction": 200}}
        (index,) = run(index_params=wider, if_exists="replace", flush=False)
        assert str(index["params"]["M"]) == "32"
        assert self.loaded(milvus, name) == {"p1": "Loaded"}

    def test_releasing_one_of_two(self, run: Run, name: str, milvus: MilvusServer) -> None:
        run(LoadCollectionOperator, partition_names=["p2"])
        assert self.loaded(milvus, name) == {"p1": "Loaded", "p2": "Loaded"}
        run(ReleaseCollectionOperator, partition_names=["p1"])
        assert self.loaded(milvus, name) == {"p2": "Loaded"}


def test_replacing_by_an_alias_remembers_the_collection(api: Api, filled: str, milvus: MilvusServer) -> None:
    params = {**HNSW, "indexName": "v"}
    waiting = Waiting(
        "it",
        lambda: CreateIndexOperator(
            task_id="it", collection_name="now", index_params=params, if_exists="replace", timeout=120
        ),
    )
    api.ok("aliases/create", aliasName="now", collectionName=filled)
    try:
        with Triggerer() as triggerer:
            go(waiting, triggerer)
    finally:
        api.ok("aliases/drop", aliasName="now")
    assert {fact["collection"] for fact in waiting.store.written} == {filled}
    assert waiting.store == {}
    assert milvus.client.get_load_state(filled)["state"].name == "Loaded"
