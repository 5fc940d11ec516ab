"""The hook's plain methods, over a real engine: Milvus Lite behind the local server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from airflow_vectordb._compat import AirflowFailException
from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.local import LocalMilvus
from airflow_vectordb.local.pytest_plugin import milvus_connection  # noqa: F401 - a fixture
from airflow_vectordb.rest import errors, import_jobs

SCHEMA = {
    "enableDynamicField": True,
    "fields": [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": 4}},
        {"fieldName": "title", "dataType": "VarChar", "elementTypeParams": {"max_length": 32}},
    ],
}
INDEX = {"fieldName": "vector", "indexName": "v", "indexType": "FLAT", "metricType": "L2"}


@pytest.fixture(scope="session")
def milvus_server() -> Iterator[LocalMilvus]:
    # These calls wait for nothing.
    with LocalMilvus(pace="immediate") as running:
        yield running


@pytest.fixture
def hook(milvus_connection: str) -> Iterator[MilvusHook]:  # noqa: F811
    with MilvusHook(milvus_connection) as made:
        yield made


def rows(count: int, first: int = 0) -> list[dict[str, Any]]:
    return [{"id": n, "vector": [float(n), 1.0, 0.5, 0.25], "title": f"t{n % 3}"} for n in range(first, first + count)]


def make(hook: MilvusHook, count: int = 10) -> None:
    hook.create_collection("docs", schema=SCHEMA, index_params=INDEX)
    if count:
        hook.insert("docs", rows(count))


def json_ready(value: Any) -> Any:
    """Return a value as the next task gets it."""
    return json.loads(json.dumps(value))


def test_a_collection_from_its_schema_to_its_end(hook: MilvusHook) -> None:
    assert not hook.has_collection("docs")
    make(hook, 0)
    make(hook, 0)  # an identical one is a no-op

    assert hook.list_collections() == ["docs"]
    assert [field["name"] for field in json_ready(hook.describe_collection("docs"))["fields"]][:2] == ["id", "vector"]
    assert hook.get_load_state("docs").state == "LoadStateLoaded"
    assert hook.list_indexes("docs") == ["v"]
    assert json_ready(hook.describe_index("docs", "v"))["index_type"] == "FLAT"
    hook.alter_collection_properties("docs", {"collection.ttl.seconds": 100})
    hook.drop_collection_properties("docs", ["collection.ttl.seconds"])
    hook.rename_collection("docs", "pages")
    assert hook.list_collections() == ["pages"]
    hook.drop_collection("pages")
    hook.drop_collection("pages")
    assert hook.list_collections() == []


def test_a_quick_setup(hook: MilvusHook) -> None:
    properties = {
        "collection.ttl.seconds": 60,
        "collection.autocompaction.enabled": "false",
    }  # creation ignores the last
    hook.create_collection("quick", 4, metric_type="L2", id_type="VarChar", properties={"max_length": 8, **properties})
    described = hook.describe_collection("quick").raw["properties"]
    assert {pair["key"]: pair["value"] for pair in described} == {**properties, "collection.ttl.seconds": "60"}
    hook.insert("quick", {"id": "a", "vector": [1, 2, 3, 4]})
    assert hook.count("quick") == 1
    assert hook.get("quick", "a")[0]["id"] == "a"


def test_indexes_and_loading_are_waited_for(hook: MilvusHook) -> None:
    hook.create_collection("docs", schema=SCHEMA)
    hook.insert("docs", rows(3))
    (index,) = hook.create_index("docs", INDEX)
    assert (index["index_name"], index["state"]) == ("v", "Finished")
    assert hook.create_index("docs", [INDEX], wait=False)[0]["index_name"] == "v"
    hook.load("docs")
    assert hook.get_load_state("docs").progress == 100
    hook.flush("docs")
    hook.refresh_load("docs")
    with pytest.raises(errors.IndexMismatchError) as other:
        hook.create_index("docs", {**INDEX, "indexType": "HNSW", "params": {"M": 8, "efConstruction": 16}})
    assert isinstance(other.value, AirflowFailException)
    with pytest.raises(errors.InvalidParametersError, match="indexTipe") as wrong:
        hook.create_index("docs", {"fieldName": "vector", "indexTipe": "FLAT"})
    assert isinstance(wrong.value, AirflowFailException)
    hook.release("docs")
    assert hook.get_load_state("docs").state == "LoadStateNotLoad"
    hook.drop_index("docs", "v")
    assert hook.list_indexes("docs") == []


def test_rows(hook: MilvusHook) -> None:
    make(hook)
    written = hook.upsert("docs", rows(3, first=8))
    assert json_ready(written) == {"count": 3, "ids": [8, 9, 10]}
    assert hook.count("docs") == 11
    assert hook.count("docs", "title == {title}", filter_params={"title": "t0"}) == 4
    assert [row["id"] for row in hook.get("docs", [3, 99])] == [3]
    assert hook.query("docs", "id == 2", output_fields=["title"]) == [{"id": 2, "title": "t2"}]
    assert len(hook.query("docs", limit=2, offset=9, consistency_level="Strong")) == 2
    near = hook.search("docs", [[2, 1, 0.5, 0.25]], "id != 2", limit=2, output_fields=["title"])
    assert sorted(hit["id"] for hit in json_ready(near)[0]) == [1, 3]
    params = {"metric_type": "L2", "params": {"radius": 3.0}}
    within = hook.search("docs", np.array([[0.0, 1.0, 0.5, 0.25]]), search_params=params)
    assert [hit["id"] for hit in within[0]] == [0, 1]
    assert hook.search("docs", [[0, 1, 0.5, 0.25]], search_params={"radius": 3.0}) == within
    with pytest.raises(errors.MilvusError, match="metric type not match"):
        hook.search("docs", [[0, 1, 0.5, 0.25]], search_params={"metricType": "IP"})
    groups = hook.search("docs", [[0, 1, 0.5, 0.25]], group_by_field="title", output_fields=["title"])
    assert [hit["title"] for hit in groups[0]] == ["t0", "t1", "t2"]
    pairs: dict[str, Any] = {"group_by_field": "title", "group_size": 2, "strict_group_size": True, "limit": 2}
    (hits,) = hook.search("docs", [[0, 1, 0.5, 0.25]], **pairs)
    assert [hit["id"] for hit in hits] == [0, 3, 1, 4]
    (hits,) = hook.hybrid_search("docs", [{"data": [[0, 1, 0.5, 0.25]], "annsField": "vector", "limit": 9}], **pairs)
    assert [hit["id"] for hit in hits] == [0, 3, 1, 4]
    merged = hook.hybrid_search(
        "docs", [{"data": [[2, 1, 0.5, 0.25]], "annsField": "vector", "limit": 3}], limit=2, output_fields=["title"]
    )
    assert merged[0][0]["id"] == 2
    assert hook.compact("docs") >= 0
    assert hook.get_compaction_state(1).state == "Completed"


def test_frames_and_arrays_are_taken(hook: MilvusHook) -> None:
    import pyarrow as pa

    make(hook, 0)
    vectors = np.arange(8, dtype=np.float32).reshape(2, 4)
    hook.insert("docs", [{"id": n, "vector": vector, "title": "array"} for n, vector in enumerate(vectors)])
    table = pa.table(
        {
            "id": [10, 11],
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 4),
            "title": ["arrow", "arrow"],
        }
    )
    assert hook.insert("docs", table).count == 2
    assert hook.upsert("docs", (row for row in rows(2, first=20))).ids == (20, 21)
    (found,) = hook.get("docs", 11)
    assert (found["vector"], found["title"]) == ([4, 5, 6, 7], "arrow")
    with pytest.raises(errors.InvalidParametersError, match="row 2: a row must be a mapping, not an int"):
        hook.insert("docs", [rows(1)[0], 7])
    with pytest.raises(errors.InvalidParametersError, match="not a finite number"):
        hook.insert("docs", [{"id": 1, "vector": [float("nan"), 1, 1, 1], "title": ""}])


@pytest.mark.parametrize("batch_size", [1, 7, 100, 1000])
def test_all_rows_in_pages(hook: MilvusHook, batch_size: int) -> None:
    hook.create_collection("docs", schema=SCHEMA, index_params=INDEX)
    shuffled = sorted(rows(100, first=-50), key=lambda row: row["id"] * 37 % 101)
    for start in range(0, 100, 30):
        hook.insert("docs", shuffled[start : start + 30])

    pages = list(hook.query_iterator("docs", batch_size=batch_size, output_fields=["title"]))

    assert [row["id"] for page in pages for row in page] == list(range(-50, 50))
    assert {len(page) for page in pages[:-1]} <= {batch_size}
    some = hook.query_iterator("docs", 'title == "t0" or id == 7', batch_size=batch_size, limit=20)
    assert [row["id"] for page in some for row in page] == [n for n in range(-50, 50) if n % 3 == 0 or n == 7][:20]
    assert list(hook.query_iterator("docs", "id > 1000")) == []


def test_pages_by_keys_that_are_text(hook: MilvusHook) -> None:
    hook.create_collection("docs", 4, id_type="VarChar", properties={"max_length": 64})
    keys = sorted(["a", "A", "b'", 'c"d', "e\\f", "é", "数据", "🔑", "z" * 20, "0"], key=str.encode)
    hook.insert("docs", [{"id": key, "vector": [1, 2, 3, 4]} for key in reversed(keys)])
    pages = hook.query_iterator("docs", batch_size=3, output_fields=["id"])
    assert [row["id"] for page in pages for row in page] == keys


def test_partitions(hook: MilvusHook) -> None:
    hook.create_collection("docs", schema=SCHEMA)
    hook.create_partition("docs", "p")
    hook.create_partition("docs", "p")
    assert hook.has_partition("docs", "p")
    assert sorted(hook.list_partitions("docs")) == ["_default", "p"]
    hook.insert("docs", rows(4), partition_name="p")
    hook.create_index("docs", INDEX)
    hook.flush("docs")
    assert hook.get_partition_stats("docs", "p") == {"row_count": 4}
    assert hook.get_collection_stats("docs") == {"row_count": 4}
    hook.load("docs", ["p"])
    assert hook.get_load_state("docs", ["p"]).state == "LoadStateLoaded"
    assert hook.count("docs", partition_names=["p"]) == 4
    hook.release("docs", ["p"])
    hook.release("docs")
    hook.drop_partition("docs", "p")
    assert not hook.has_partition("docs", "p")


def test_aliases(hook: MilvusHook) -> None:
    for name in ("docs_1", "docs_2"):
        hook.create_collection(name, schema=SCHEMA)
    hook.create_alias("docs_1", "other")
    hook.alter_alias("docs_2", "other")
    assert hook.describe_alias("other") == {"alias": "other", "collection_name": "docs_2"}
    hook.drop_alias("other")
    switched = [hook.switch_alias("docs", name)["previous"] for name in ("docs_1", "docs_2", "docs_2")]
    assert switched == [None, "docs_1", "docs_2"]
    assert hook.list_aliases("docs_2") == hook.list_aliases() == ["docs"]
    hook.drop_alias("docs")


def test_databases(hook: MilvusHook) -> None:
    hook.create_database("other", {"database.max.collections": 5})
    try:
        assert "other" in hook.list_databases()
        hook.alter_database_properties("other", {"database.max.collections": 6})
        assert hook.describe_database("other")["properties"] == [{"key": "database.max.collections", "value": "6"}]
        hook.drop_database_properties("other", ["database.max.collections"])
        assert hook.describe_database("other")["properties"] == []
    finally:
        hook.drop_database("other")
    assert "other" not in hook.list_databases()


def test_what_is_altered_in_place(hook: MilvusHook) -> None:
    make(hook, 2)
    hook.release("docs")
    # In pymilvus's spelling; the API's reference has such types, which Milvus refuses.
    hook.add_collection_field(
        "docs", {"field_name": "lang", "dataType": "DataType.VARCHAR", "max_length": 8, "nullable": True}
    )
    *_, lang = hook.describe_collection("docs").fields
    assert (lang.name, lang.type, lang.params) == ("lang", "VarChar", {"max_length": "8"})
    with pytest.raises(errors.InvalidParametersError, match="unknown key 'nulable'"):
        hook.add_collection_field("docs", {"fieldName": "n", "dataType": "Int64", "nulable": True})
    hook.alter_collection_field("docs", "title", {"max_length": 64})
    assert {field.name: field.params for field in hook.describe_collection("docs").fields}["title"] == {
        "max_length": "64"
    }
    hook.alter_index_properties("docs", "v", {"mmap.enabled": True})
    hook.drop_index_properties("docs", "v", ["mmap.enabled"])


def test_send_stays_underneath(hook: MilvusHook) -> None:
    assert hook.send(import_jobs.list_()) == []
