"""What each function sends, and how it reads what servers of different ages answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_vectordb.rest import aliases, collections, databases, entities, errors, import_jobs, indexes
from airflow_vectordb.rest.http.call import Answer, Call
from airflow_vectordb.rest.index.spec import IndexSpec
from airflow_vectordb.waiting import IndexesBuilt, Memory


def read(call: Call[Any], data: Any, **beside: Any) -> Any:
    return call.read(Answer(data, {"code": 0, "data": data, **beside}))


@pytest.mark.parametrize(
    ("call", "path", "body", "idempotent"),
    [
        (indexes.list_("c"), "indexes/list", {"collectionName": "c"}, True),
        (indexes.describe("c", "i"), "indexes/describe", {"collectionName": "c", "indexName": "i"}, True),
        (
            indexes.drop("c", "i", database="d"),
            "indexes/drop",
            {"dbName": "d", "collectionName": "c", "indexName": "i"},
            True,
        ),
        (
            indexes.create("c", [IndexSpec("f")]),
            "indexes/create",
            {"collectionName": "c", "indexParams": [IndexSpec("f").body()]},
            True,
        ),
        (
            collections.create("c", dimension=4, auto_id=False),
            "collections/create",
            {"collectionName": "c", "dimension": 4, "autoID": False},
            True,
        ),
        (collections.describe("c"), "collections/describe", {"collectionName": "c"}, True),
        (collections.has("c"), "collections/has", {"collectionName": "c"}, True),
        (collections.list_(database="d"), "collections/list", {"dbName": "d"}, True),
        (collections.drop("c"), "collections/drop", {"collectionName": "c"}, True),
        (collections.load("c"), "collections/load", {"collectionName": "c"}, True),
        (collections.release("c"), "collections/release", {"collectionName": "c"}, True),
        (collections.load_state("c"), "collections/get_load_state", {"collectionName": "c"}, True),
        (collections.row_count("c"), "collections/get_stats", {"collectionName": "c"}, True),
        (collections.flush("c"), "collections/flush", {"collectionName": "c"}, True),
        (entities.insert("c", [{"id": 1}]), "entities/insert", {"collectionName": "c", "data": [{"id": 1}]}, False),
        (entities.upsert("c", [{"id": 1}]), "entities/upsert", {"collectionName": "c", "data": [{"id": 1}]}, True),
        (entities.delete("c", "id > 1"), "entities/delete", {"collectionName": "c", "filter": "id > 1"}, True),
        (
            entities.query("c", filter="id > 1", output_fields=("id",), limit=3),
            "entities/query",
            {"collectionName": "c", "filter": "id > 1", "outputFields": ["id"], "limit": 3},
            True,
        ),
        (entities.get("c", (1, 2)), "entities/get", {"collectionName": "c", "id": [1, 2]}, True),
        (
            entities.search(
                "c", [[0.5]], anns_field="v", limit=2, params={"ef": 9}, search_params={"metricType": "L2"}
            ),
            "entities/search",
            {
                "collectionName": "c",
                "data": [[0.5]],
                "annsField": "v",
                "limit": 2,
                "searchParams": {"metricType": "L2", "params": {"ef": 9}},
            },
            True,
        ),
        (aliases.create("a", "c"), "aliases/create", {"aliasName": "a", "collectionName": "c"}, False),
        (aliases.alter("a", "c"), "aliases/alter", {"aliasName": "a", "collectionName": "c"}, True),
        (aliases.describe("a"), "aliases/describe", {"aliasName": "a"}, True),
        (aliases.list_(), "aliases/list", {}, True),
        (aliases.drop("a"), "aliases/drop", {"aliasName": "a"}, True),
        (databases.create("d"), "databases/create", {"dbName": "d"}, False),
        (databases.describe("d"), "databases/describe", {"dbName": "d"}, True),
        (databases.drop("d"), "databases/drop", {"dbName": "d"}, True),
        (
            import_jobs.create("c", [("a.parquet",)]),
            "jobs/import/create",
            {"collectionName": "c", "files": [["a.parquet"]]},
            False,
        ),
        (import_jobs.describe("7"), "jobs/import/describe", {"jobId": "7"}, True),
        (import_jobs.get_progress("7"), "jobs/import/get_progress", {"jobId": "7"}, True),
        (import_jobs.list_("c"), "jobs/import/list", {"collectionName": "c"}, True),
    ],
)
def test_what_is_sent(call: Call[Any], path: str, body: dict[str, Any], idempotent: bool) -> None:
    assert (call.path, call.body, call.idempotent) == (path, body, idempotent)


def test_an_index_description_of_every_age() -> None:
    call = indexes.describe("c", "v")
    old = {"indexName": "v", "fieldName": "vector", "indexType": "HNSW", "metricType": "L2", "indexState": "Finished"}
    counts = {"totalRows": "10", "indexedRows": 9, "pendingRows": "1", "failReason": ""}
    (found,) = read(call, [old])
    assert (found.total_rows, found.pending_rows, dict(found.params)) == (None, None, {})
    pairs = [{"key": "index_type", "value": "HNSW"}, {"key": "metric_type", "value": "L2"}, {"key": "M", "value": "16"}]
    (found,) = read(call, [{**old, **counts, "indexParams": pairs}])
    assert (found.total_rows, found.indexed_rows, found.pending_rows, dict(found.params)) == (10, 9, 1, {"M": 16})
    nested = [*pairs[:2], {"key": "params", "value": '{"M": 16}'}]
    (found,) = read(call, [{**old, "indexParams": nested}])
    assert dict(found.params) == {"M": 16}


def describe_state(collection: str, index_name: str) -> Call[Any]:
    return next(IndexesBuilt(collection, (index_name,)).poll(Memory()))


@pytest.mark.parametrize("kind", [indexes.describe, describe_state])
def test_an_answer_about_another_index_is_no_answer(kind: Callable[[str, str], Call[Any]]) -> None:
    other = {"indexName": "other", "fieldName": "x", "indexState": "Finished"}
    for data in ([], [other]):
        with pytest.raises(errors.IndexNotFoundError, match="'v'"):
            read(kind("c", "v"), data)


def test_what_a_wait_reads_of_an_index_becomes_its_description() -> None:
    item = {"indexName": "v", "fieldName": "vector", "indexType": "HNSW", "indexState": "Finished", "totalRows": "10"}
    (state,), (description,) = read(describe_state("c", "v"), [item]), read(indexes.describe("c", "v"), [item])
    assert (state.state, state.total_rows, state.covered_rows) == ("Finished", 10, description.covered_rows)
    assert state.as_json() == description.as_json()
    (state,) = read(describe_state("c", "v"), [{"indexName": "v"}])
    with pytest.raises(errors.NotMilvusError, match="fieldName"):
        state.as_json()


def test_a_collection_description() -> None:
    found = read(
        collections.describe("alias"),
        {
            "collectionName": "docs",
            "fields": [
                {"name": "id", "type": "Int64", "primaryKey": True},
                {"name": "vector", "type": "FloatVector", "params": [{"key": "dim", "value": "8"}]},
            ],
            "structArrayFields": [{"name": "clips", "fields": [{"name": "vector", "type": "ArrayOfVector"}]}],
            "functions": [{"name": "f", "type": "BM25", "outputFieldNames": ["sparse"]}],
            "load": "LoadStateLoaded",
            "enableDynamicField": True,
        },
    )
    assert [field.name for field in found.fields] == ["id", "vector", "clips[vector]"]
    assert found.fields[0].is_primary
    assert found.fields[1].params == {"dim": "8"}
    assert found.functions[0].output_fields == ("sparse",)
    assert (found.name, found.load, found.enable_dynamic_field) == ("docs", "LoadStateLoaded", True)


def test_hits_of_several_vectors_are_divided_by_topks() -> None:
    call = entities.search("c", [[0.0], [1.0], [2.0]], limit=2)
    hits = [{"id": n, "distance": 0.5} for n in range(3)]
    assert [[hit["id"] for hit in found] for found in read(call, hits, topks=[2, 0, 1])] == [[0, 1], [], [2]]
    with pytest.raises(ValueError, match="topks"):
        read(call, hits, topks=[2, 0])
    with pytest.raises(ValueError, match="no topks"):
        read(call, hits)
    assert len(read(entities.search("c", [[0.0]]), hits)[0]) == 3
    assert len(read(entities.search("c", [], options={"ids": [7, 8]}), hits, topks=[2, 1])) == 2


@pytest.mark.parametrize("beside", [{}, {"topks": None}, {"topks": []}, {"topks": [0, 0, 0]}])
@pytest.mark.parametrize("data", [[], None])
def test_no_hit_at_all(data: Any, beside: dict[str, Any]) -> None:
    # Milvus leaves out `topks` then.
    assert read(entities.search("c", [[0.0], [1.0], [2.0]]), data, cost=0, **beside) == [[], [], []]
    if not beside.get("topks"):
        assert read(entities.search("c", [[0.0]]), data, cost=0, **beside) == [[]]
        assert read(entities.search("c", []), data, **beside) == []


@pytest.mark.parametrize(
    ("given", "back"),
    [
        ({"Data": {"LongData": {"data": [1, 2]}}}, [1, 2]),
        ({"Data": {"StringData": {"data": []}}}, []),
        ({"Data": {"FloatData": {}}}, []),
        *[(value, value) for value in ([1], None, {"Data": None}, {"Data": {"LongData": 1}}, {"Data": {"more": {}}})],
    ],
    ids=repr,
)
def test_arrays_come_as_lists(given: Any, back: Any) -> None:
    for call in (entities.query("c"), entities.get("c", [1])):
        assert read(call, [{"id": 1, "tags": given}]) == [{"id": 1, "tags": back}]
    assert read(entities.search("c", [[0.0]]), [{"id": 1, "tags": given}]) == [[{"id": 1, "tags": back}]]


def test_what_answers_may_leave_out() -> None:
    assert read(entities.delete("c", "id == 1"), {"deleteCount": 2}) == 2
    assert read(entities.delete("c", "id == 1"), {}) is None
    assert read(entities.query("c"), None) == read(entities.get("c", [1]), None) == []
    assert read(entities.insert("c", []), {"insertCount": 0, "insertIds": None}) == entities.Written(0, ())
    assert read(collections.load_state("c"), {"loadState": "LoadStateNotLoad"}).progress is None
    (record,) = read(import_jobs.list_("c"), {"records": [{"jobId": "1", "state": "Pending"}]})
    assert (record.progress, record.reason) == (0, "")
    done = {"jobId": "1", "state": "Completed", "totalRows": 5}
    assert read(import_jobs.describe("1"), done).imported_rows == 5
    assert read(import_jobs.describe("1"), {**done, "state": "Importing"}).imported_rows == 0


@pytest.mark.parametrize("progress", [-1, "-1"])
@pytest.mark.parametrize(
    ("words", "state"),
    [
        ("", "LoadStateNotLoad"),
        ("partition not loaded[partition=470743935133063410].", "LoadStateNotLoad"),
        ("partition not found[partition=nope].", "LoadStateNotLoad"),
        ("collection 447 has not been loaded to memory or load failed", "LoadStateNotLoad"),
        ("service unavailable[reason=querycoord: Abnormal]", "LoadStateLoading"),
        ("context deadline exceeded", "LoadStateLoading"),
        ("collection not fully loaded[collection=447]", "LoadStateLoading"),
    ],
)
def test_a_progress_that_cannot_be_told_is_what_the_message_says(progress: Any, words: str, state: str) -> None:
    data = {"loadState": "LoadStateLoading", "loadProgress": progress}
    expected = collections.LoadState(state, None, words)
    assert read(collections.load_state("c"), data, message=words) == expected
    assert read(collections.load_state("c"), {**data, "message": words}) == expected
    if words:
        del data["loadProgress"]
        assert read(collections.load_state("c"), data, message=words) == expected


@pytest.mark.parametrize(
    ("told", "progress"), [("100", 100), ("40%", 40), (99.9, 99), ("100.0", 100), ("", None), (None, None), ("x", None)]
)
def test_a_load_progress_however_it_is_spelt(told: Any, progress: int | None) -> None:
    data = {"loadState": "LoadStateLoaded", "loadProgress": told}
    assert read(collections.load_state("c"), data) == collections.LoadState("LoadStateLoaded", progress)


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("Pending", "Pending"),
        ("ImportPending", "Pending"),
        ("Importing", "Importing"),
        ("ImportCompleted", "Completed"),
        ("Failed", "Failed"),
    ],
)
def test_import_states_of_every_age(word: str, state: str) -> None:
    job = read(import_jobs.describe("7"), {"jobId": 7, "state": word, "progress": 40, "totalRows": "9"})
    assert (job.job_id, job.state, job.progress, job.total_rows) == ("7", state, 40, 9)


@pytest.mark.parametrize("name", [None, ""])
def test_a_name_that_is_missing(name: Any) -> None:
    for call in (import_jobs.create("c", [["a.json"]]), aliases.describe("live")):
        with pytest.raises(ValueError, match=r"is (None|'')"):
            read(call, {"jobId": name, "collectionName": name})


def test_messages_name_what_a_call_is_about() -> None:
    assert indexes.describe("docs", "v").target("books") == "index 'v' of collection 'docs' (database 'books')"
    assert collections.describe("docs", database="d").target("books") == "collection 'docs' (database 'd')"
    assert aliases.alter("a", "docs").target() == "alias 'a' of collection 'docs' (database 'default')"
    assert databases.drop("d").target() == "database 'd'"
    assert import_jobs.describe("7").target() == "import job '7' (database 'default')"
    assert collections.list_().target() == ""


@pytest.mark.parametrize("call", [indexes.list_("c"), collections.list_(), aliases.list_(), databases.list_()])
def test_a_list_of_names_is_a_list(call: Call[Any]) -> None:
    assert read(call, ["a", "b"]) == ["a", "b"]
    assert read(call, None) == []
    for data in ("fine", {"a": 1}):
        with pytest.raises(TypeError, match="list of names"):
            read(call, data)
