"""What a flush over ``--backend`` leaves to the engine: it returns before its rows are counted, as Milvus's does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from airflow_vectordb.local import LocalMilvus
from tests.support.engine_api import Api, Json
from tests.support.milvus_server import MilvusServer

ROWS = 6000
DIM = 64
INDEX = {"fieldName": "v", "metricType": "L2", "indexType": "HNSW", "params": {"M": 16, "efConstruction": 200}}
BUILT = ("Finished", ROWS, 0)


def _filled(api: Api, name: str) -> str:
    fields = [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": DIM}},
    ]
    api.ok("collections/create", collectionName=name, schema={"fields": fields})
    api.ok("indexes/create", collectionName=name, indexParams=[INDEX])
    rows: list[Json] = [{"id": i, "v": [(i * j) % 97 for j in range(DIM)]} for i in range(ROWS)]
    api.ok("entities/insert", collectionName=name, data=rows)
    return name


def _described(api: Api, name: str) -> tuple[str, int, int]:
    (index,) = api.ok("indexes/describe", collectionName=name, indexName="v")
    return index["indexState"], index["totalRows"], index["pendingRows"]


def _until(look: Callable[[], Any], end: object) -> list[Any]:
    """What is seen, each once, until something is."""
    seen: list[Any] = []
    deadline = time.monotonic() + 60
    while seen[-1:] != [end]:
        assert time.monotonic() < deadline, seen
        if (found := look()) not in seen[-1:]:
            seen.append(found)
        time.sleep(0.02)
    return seen


def test_it_returns_before_its_rows_are_counted(api: Api, name: str) -> None:
    _filled(api, name)
    assert api.ok("collections/get_stats", collectionName=name) == {"rowCount": 0}
    started = time.monotonic()
    api.ok("collections/flush", collectionName=name)
    assert time.monotonic() - started < 2
    seen = _until(lambda: _described(api, name), BUILT)
    # Who polls immediately, and believes the answer, takes the collection for empty and its index for built.
    assert seen[0] == ("Finished", 0, 0)
    assert api.ok("collections/get_stats", collectionName=name) == {"rowCount": ROWS}


def test_at_the_pace_of_a_cluster_it_takes_that_time_too(milvus: MilvusServer, name: str) -> None:
    pace = "real,row_count=2,total_rows=4,build=2,build_per_1000=0,load=1"
    with LocalMilvus(backend=milvus.uri, token=None, pace=pace) as front:
        api = Api(front.uri, milvus.token)
        with api.session:
            _filled(api, name)
            started = time.monotonic()
            api.ok("collections/flush", collectionName=name)
            code, message = api.fails("collections/flush", collectionName=name)
            assert (code, message.endswith("please retry later: rate limit exceeded[rate=0.1]")) == (1807, True)
            seen = _until(lambda: _described(api, name), BUILT)
            assert time.monotonic() - started > 5.9
            assert seen[0] == ("Finished", 0, 0)
            assert any(0 < pending < ROWS for _, _, pending in seen), seen
            api.ok("collections/load", collectionName=name)
            loading = _until(lambda: api.ok("collections/get_load_state", collectionName=name)["loadProgress"], 100)
            assert any(0 < percent < 100 for percent in loading), loading
