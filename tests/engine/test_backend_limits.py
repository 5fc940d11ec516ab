"""What came to ``--backend`` last: packed vectors, consistency levels, import jobs; and what 2.3.5 has not, by name."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.support.engine_api import SCHEMA, Api, Json, await_loaded
from tests.support.milvus_server import MilvusServer

KEY: Json = {"fieldName": "id", "dataType": "Int64", "isPrimary": True}


def test_binary_vectors(api: Api, name: str) -> None:
    vector = {"fieldName": "b", "dataType": "BinaryVector", "elementTypeParams": {"dim": 16}}
    api.ok("collections/create", collectionName=name, schema={"fields": [KEY, vector]})
    data = [{"id": 1, "b": "AAE="}, {"id": 2, "b": [255, 3]}, {"id": 3, "b": [0, 3]}]
    api.ok("entities/insert", collectionName=name, data=data)
    assert api.fails("entities/insert", collectionName=name, data=[{"id": 4, "b": "AA=="}])[0] == 1804
    api.ok("collections/flush", collectionName=name)
    index = {"fieldName": "b", "indexType": "BIN_IVF_FLAT", "metricType": "JACCARD", "params": {"nlist": 8}}
    api.ok("indexes/create", collectionName=name, indexParams=[index])
    api.ok("collections/load", collectionName=name)
    await_loaded(api, name)
    rows = api.ok("entities/query", collectionName=name, filter="id > 0", consistencyLevel="Strong")
    assert rows == [{"id": 1, "b": "AAE="}, {"id": 2, "b": "/wM="}, {"id": 3, "b": "AAM="}]
    wanted = {"collectionName": name, "limit": 2, "searchParams": {"params": {"nprobe": 8}}}
    hits = api.ok("entities/search", data=["AAM=", [255, 3]], consistencyLevel="Strong", **wanted)
    # Of bits set in either, the part that is not set in both: 1 of 2, and 8 of 10.
    assert hits[:2] == [{"id": 3, "distance": 0}, {"id": 1, "distance": 0.5}]
    assert hits[2:] == [{"id": 2, "distance": 0}, {"id": 3, "distance": 0.8}]
    assert api.ok("entities/search", ids=[1], **wanted) == [{"id": 1, "distance": 0}, {"id": 3, "distance": 0.5}]
    assert api.fails("entities/search", data=["AA=="], **wanted)[0] == 1801


def test_consistency_levels(api: Api, filled: str) -> None:
    """What was written is seen at once where that is asked for, and not for certain where it is not."""
    row = {"v": [0, 0, 0, 1], "label": "l", "extra": {}, "tags": []}
    at_once = {"collectionName": filled, "outputFields": ["id"], "consistencyLevel": "Strong"}
    missed = 0
    for i in range(100, 115):
        api.ok("entities/insert", collectionName=filled, data=[{"id": i, **row}])
        missed += not api.ok("entities/get", **{**at_once, "consistencyLevel": "Eventually"}, id=i)
        assert api.ok("entities/get", id=i, **at_once) == [{"id": i}]
        api.ok("entities/insert", collectionName=filled, data=[{"id": i + 100, **row}])
        assert api.ok("entities/query", filter=f"id == {i + 100}", **at_once) == [{"id": i + 100}]
        api.ok("entities/insert", collectionName=filled, data=[{"id": i + 200, **row}])
        hits = api.ok("entities/search", data=[[0, 0, 0, 1]], filter=f"id == {i + 200}", **at_once)
        assert [hit["id"] for hit in hits] == [i + 200]
    assert missed
    assert api.fails("entities/query", filter="id > 0", **{**at_once, "consistencyLevel": "strong"})[0] == 1100


def _ended(api: Api, job: str) -> Json:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found: Json = api.ok("jobs/import/describe", jobId=job)
        assert found["jobId"] == job
        assert found["state"] in ("Pending", "Importing", "Completed", "Failed")
        assert 0 <= found["progress"] <= 100
        if found["state"] in ("Completed", "Failed"):
            return found
        time.sleep(0.2)
    raise AssertionError(found)


@pytest.fixture
def file(milvus: MilvusServer) -> Path:
    """Where the engine, whose storage are this machine's files, finds rows."""
    path = milvus.directory / "rows.json"
    rows = [{"id": i, "v": [i, 1, 0, 0], "label": f"i{i}", "extra": {}, "tags": [i], "x": 1} for i in range(1000, 1020)]
    path.write_text(json.dumps({"rows": rows}))
    return path


def test_imports(api: Api, filled: str, file: Path) -> None:
    job = api.ok("jobs/import/create", collectionName=filled, files=[[str(file)]])["jobId"]
    done = _ended(api, job)
    assert (done["state"], done["progress"], done["collectionName"]) == ("Completed", 100, filled)
    assert (done["importedRows"], done["totalRows"]) == (20, 20)
    (detail,) = done["details"]
    assert (detail["fileName"], detail["state"], detail["importedRows"]) == (str(file), "Completed", 20)
    assert api.ok("jobs/import/get_progress", jobId=job) == done
    # As on any Milvus, what was imported into a loaded collection is loaded when that is asked for.
    api.ok("collections/refresh_load", collectionName=filled)
    deadline = time.monotonic() + 30
    while api.ok("entities/query", collectionName=filled, outputFields=["count(*)"]) != [{"count(*)": 30}]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    api.ok("partitions/create", collectionName=filled, partitionName="p1")
    job = api.ok("jobs/import/create", collectionName=filled, partitionName="p1", files=[[str(file)]])["jobId"]
    assert _ended(api, job)["state"] == "Completed"
    assert api.ok("partitions/get_stats", collectionName=filled, partitionName="p1") == {"rowCount": 20}
    jobs = api.ok("jobs/import/list", collectionName=filled)["records"]
    assert len(jobs) == 2
    assert {"jobId": job, "collectionName": filled, "state": "Completed", "progress": 100} in jobs


def test_an_import_that_fails(api: Api, filled: str, file: Path) -> None:
    file.write_text(json.dumps({"rows": [{"id": 1, "v": [1], "label": "", "extra": {}, "tags": []}]}))
    job = api.ok("jobs/import/create", collectionName=filled, files=[[str(file)]])["jobId"]
    failed = _ended(api, job)
    assert (failed["state"], failed["importedRows"]) == ("Failed", 0)
    assert "dimension" in failed["reason"]


def test_imports_that_are_refused(api: Api, filled: str, file: Path) -> None:
    create = {"collectionName": filled, "files": [[str(file)]]}
    assert api.fails("jobs/import/create", **{**create, "collectionName": "nope"})[0] == 100
    assert api.fails("jobs/import/create", dbName="nowhere", **create)[0] == 800
    assert api.fails("jobs/import/create", partitionName="zz", **create)[0] == 200
    for more in ({"files": [["a.json"], ["b.json"]]}, {"options": {"timeout": "300s"}}):
        code, message = api.fails("jobs/import/create", **{**create, **more})
        assert code == 10
        assert "Milvus v2.3.5" in message
    assert api.fails("jobs/import/create", **{**create, "files": [["a.json", "b.json"]]})[0] == 65535
    for job in ("77", "x", str(2**64)):
        assert api.fails("jobs/import/describe", jobId=job)[0] == 2100
    api.ok("jobs/import/list", dbName="nowhere")  # jobs have no database
    assert api.fails("jobs/import/list", collectionName="nope")[0] == 100


FUNCTION: Json = {"name": "f", "type": "BM25", "inputFieldNames": ["label"], "outputFieldNames": ["s"]}


@pytest.mark.parametrize(
    ("path", "what", "body"),
    [
        (
            "entities/hybrid_search",
            "HybridSearch",
            {"search": [{"annsField": "v", "data": [[1, 2, 3, 4]]}], "rerank": {"strategy": "rrf"}},
        ),
        ("entities/upsert", "partial updates", {"data": [{"id": 3}], "partialUpdate": True}),
        ("collections/truncate", "TruncateCollection", {}),
        ("collections/drop_properties", "dropping properties", {"propertyKeys": ["a"]}),
        ("collections/fields/add", "AddCollectionField", {"schema": {"fieldName": "n", "dataType": "Int64"}}),
        ("collections/fields/alter_properties", "AlterCollectionField", {"fieldName": "v", "fieldParams": {"m": 1}}),
        ("collections/add_function", "AddCollectionFunction", {"function": FUNCTION}),
        ("collections/alter_function", "AlterCollectionFunction", {"functionName": "f", "function": FUNCTION}),
        ("collections/drop_function", "DropCollectionFunction", {"functionName": "f"}),
        ("collections/compact", "clustering compaction", {"isClustering": True}),
        ("indexes/alter_properties", "altering an index", {"indexName": "v", "properties": {"mmap.enabled": True}}),
        ("indexes/drop_properties", "altering an index", {"indexName": "v", "propertyKeys": ["mmap.enabled"]}),
        ("databases/alter", "properties of a database", {"dbName": "default", "properties": {"a": 1}}),
        ("databases/drop_properties", "properties of a database", {"dbName": "default", "propertyKeys": ["a"]}),
    ],
)
def test_what_this_milvus_has_not(api: Api, name: str, path: str, what: str, body: Json) -> None:
    api.ok("collections/create", collectionName=name, schema=SCHEMA)
    code, message = api.fails(path, **{"collectionName": name, **body})
    assert code == 10
    assert message.startswith(what)
    assert "Milvus v2.3.5" in message


@pytest.mark.parametrize("kind", ["Float16Vector", "BFloat16Vector", "Int8Vector"])
def test_types_that_this_milvus_has_not(api: Api, name: str, kind: str) -> None:
    fields = [KEY, {"fieldName": "w", "dataType": kind, "elementTypeParams": {"dim": 8}}]
    code, message = api.fails("collections/create", collectionName=name, schema={"fields": fields})
    assert (code, message.split(":")[0]) == (10, kind)
    assert "Milvus v2.3.5" in message


def test_sparse_vectors_are_refused_by_this_milvus_itself(api: Api, name: str) -> None:
    schema = {"fields": [KEY, {"fieldName": "w", "dataType": "SparseFloatVector"}]}
    api.ok("collections/create", collectionName=name, schema=schema)
    index = {"fieldName": "w", "metricType": "IP", "indexType": "SPARSE_INVERTED_INDEX"}
    code, message = api.fails("indexes/create", collectionName=name, indexParams=[index])
    assert (code, message.split(":")[0]) == (1100, "create index on 104 field is not supported")


def test_a_database_without_properties_is_described(api: Api) -> None:
    assert api.ok("databases/describe", dbName="default")["properties"] == []
    assert api.fails("databases/describe", dbName="nowhere")[0] == 800
