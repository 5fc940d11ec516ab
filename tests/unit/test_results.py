"""What calls return: attributes for the task that got it, JSON for the next one."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from airflow_vectordb.rest import (
    MilvusConfig,
    aliases,
    collections,
    databases,
    entities,
    import_jobs,
    indexes,
    partitions,
)
from airflow_vectordb.rest.collections import Collection, Field, LoadState
from airflow_vectordb.rest.entities import Written
from airflow_vectordb.rest.http.call import Answer, Call
from airflow_vectordb.rest.import_jobs import ImportJob
from airflow_vectordb.rest.indexes import IndexDescription
from airflow_vectordb.rest.result import Result
from airflow_vectordb.waiting import Done, Pending, Progress

try:
    from airflow.sdk.serde import deserialize, serialize
except ImportError:  # Airflow 3.1
    from airflow.serialization.serde import (  # type: ignore[no-redef,import-not-found,unused-ignore]
        deserialize,
        serialize,
    )

SCHEMA = {
    "collectionName": "docs",
    "fields": [{"name": "id", "type": "Int64", "primaryKey": True, "params": [{"key": "max_length", "value": "8"}]}],
    "functions": [{"name": "bm25", "type": "BM25", "outputFieldNames": ["sparse"]}],
}
INDEX = {"indexName": "v", "fieldName": "v", "indexParams": [{"key": "params", "value": '{"M": 16}'}], "totalRows": 3}
JOB = {"jobId": "1", "state": "Importing", "progress": 50}

#: Every call that has a result, with an answer to it.
ANSWERS: list[tuple[Call[Any], Any]] = [
    (collections.describe("docs"), SCHEMA),
    (collections.has("docs"), {"has": True}),
    (collections.list_(), ["docs"]),
    (collections.load_state("docs"), {"loadState": "LoadStateLoading", "loadProgress": 40}),
    (collections.row_count("docs"), {"rowCount": 3}),
    (partitions.list_("docs"), ["_default"]),
    (aliases.describe("latest"), {"collectionName": "docs"}),
    (aliases.list_(), ["latest"]),
    (databases.describe("default"), {"dbName": "default", "properties": []}),
    (databases.list_(), ["default"]),
    (entities.insert("docs", [{}, {}]), {"insertCount": 2, "insertIds": [1, 2]}),
    (entities.upsert("docs", [{}, {}]), {"upsertCount": 2, "upsertIds": ["a", "b"]}),
    (entities.query("docs"), [{"id": 1, "v": [0.5]}]),
    (entities.get("docs", [1]), [{"id": 1, "v": [0.5]}]),
    (entities.search("docs", [[0.5]]), [{"id": 1, "distance": 0.25}]),
    (import_jobs.create("docs", [["a.parquet"]]), {"jobId": "1"}),
    (import_jobs.describe("1"), JOB),
    (import_jobs.get_progress("1"), JOB),
    (import_jobs.list_(), {"records": [JOB]}),
    (indexes.describe("docs", "v"), [INDEX]),
    (indexes.list_("docs"), ["v"]),
]


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(("call", "data"), ANSWERS, ids=lambda value: getattr(value, "path", ""))
def test_another_task_can_read_it(call: Call[Any], data: Any, nested: bool) -> None:
    result = call.read(Answer(data, {}))
    returned = {"a": [result]} if nested else result
    through_airflow = deserialize(json.loads(json.dumps(serialize(returned))))
    assert through_airflow == json.loads(json.dumps(returned)) == returned
    assert "airflow_vectordb" not in json.dumps(serialize(returned))


def test_what_a_task_looked_at_can_be_read_by_another_one() -> None:
    pending = Pending((Progress("docs/v", "InProgress", 1, 2),))
    for verdict in (pending, Done([{"index_name": "v"}])):
        assert deserialize(serialize(verdict)) == verdict == dict(verdict)
    assert deserialize(serialize(pending))["progress"][0]["done"] == 1


RESULTS: list[Any] = [
    Written(2, (1, 2)),
    LoadState("LoadStateLoading", 40),
    ImportJob("1", "Importing"),
    IndexDescription("v", "v", "HNSW", "COSINE", "Finished", params={"M": "16"}),
    Collection("docs", (Field("id", "Int64", params={"max_length": "8"}),), raw={"collectionID": 1}),
]


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
def test_attributes_and_items_are_the_same(result: Any) -> None:
    assert isinstance(result, Result)
    assert is_dataclass(result)
    for name in (field.name for field in fields(result)):
        value = getattr(result, name)
        assert result[name] == (list(value) if isinstance(value, tuple) else value)
    for again in (copy.deepcopy(result), pickle.loads(pickle.dumps(result))):
        assert (again, dict(again)) == (result, dict(result))
    assert type(result).__name__ in repr(result)  # not the braces of a dict


def test_a_line_of_a_log_does_not_have_all_the_ids() -> None:
    assert repr(Written(2, (1, "a"))) == "Written(count=2, ids=(1, 'a'))"
    assert repr(Written(10_000, tuple(range(10_000)))).endswith("8, 9, … 9,990 more))")


def test_an_endpoint_is_no_result() -> None:
    with pytest.raises(TypeError, match="contains the token"):
        serialize(MilvusConfig("http://localhost", token="root:open sesame"))
