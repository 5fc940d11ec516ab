"""Fields that are added to a collection that has rows."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from urllib3.exceptions import HTTPError

from airflow_vectordb.local import LocalMilvus, LocalMilvusError
from tests.support.local_api import SCHEMA, Api, Json

FIELD: Json = {"fieldName": "extra", "dataType": "Int64", "nullable": True}
TEXT: Json = {"fieldName": "text", "dataType": "VarChar", "nullable": True, "elementTypeParams": {"max_length": 9}}
ARRAY: Json = {
    "fieldName": "array",
    "dataType": "Array",
    "elementDataType": "Int32",
    "elementTypeParams": {"max_capacity": 3},
    "nullable": True,
}
KILLS = int(os.environ.get("FIELD_KILLS", "3"))


def field(kind: str, **more: Any) -> Json:
    return {"fieldName": kind.lower(), "dataType": kind, "nullable": True, **more}


def add(api: Api, collection: str, *fields: Json) -> None:
    for schema in fields:
        api.ok("collections/fields/add", collectionName=collection, schema=schema)


def whole(api: Api, collection: str, database: str = "default") -> list[Json]:
    found: list[Json] = api.ok("entities/query", collectionName=collection, dbName=database, outputFields=["*"])
    return found


SCALARS = [field(kind) for kind in ("Bool", "Int8", "Int16", "Int32", "Int64", "Float", "Double", "JSON")] + [
    field("VarChar", elementTypeParams={"max_length": 5}),
    field("Geometry"),
    field("Timestamptz"),
    ARRAY,
]
DEFAULTS: list[tuple[Json, Any]] = [
    (field("Bool"), True),
    (field("Int8"), -128),
    (field("Int16"), 0),
    (field("Int32"), 2**31 - 1),
    (field("Int64"), 2**62),
    (field("Float"), 0.5),
    (field("Double"), 0.1),
    (field("VarChar", elementTypeParams={"max_length": 3}), "grö"[:2]),
]


def test_rows_that_are_there_have_null(api: Api, filled: str) -> None:
    before = whole(api, filled)
    add(api, filled, *SCALARS)
    assert whole(api, filled) == [{**row, **{schema["fieldName"]: None for schema in SCALARS}} for row in before]


def test_or_the_default(api: Api, filled: str) -> None:
    before = whole(api, filled)
    add(api, filled, *({**schema, "defaultValue": value} for schema, value in DEFAULTS))
    values = {schema["fieldName"]: value for schema, value in DEFAULTS}
    assert whole(api, filled) == [{**row, **values} for row in before]
    # As has a row that does not name them.
    row = {key: value for key, value in before[0].items() if key not in ("id", "s")}
    api.ok("entities/insert", collectionName=filled, data=[{**row, "id": 50, "s": {"1": 1}}])
    (found,) = api.ok("entities/get", collectionName=filled, id=[50], outputFields=["*"])
    assert {key: found[key] for key in values} == values


def test_the_field_is_described_as_the_others_are(api: Api, filled: str) -> None:
    before = api.ok("collections/describe", collectionName=filled)
    add(api, filled, {**TEXT, "defaultValue": "none"})
    after = api.ok("collections/describe", collectionName=filled)
    *others, added = after["fields"]
    assert others == before["fields"]
    assert {**after, "fields": []} == {**before, "fields": []}
    assert added == {
        **dict.fromkeys(("primaryKey", "partitionKey", "clusteringKey", "autoId"), False),
        "name": "text",
        "id": 1 + max(entry["id"] for entry in others),
        "type": "VarChar",
        "nullable": True,
        "description": "",
        "defaultValue": {"Data": {"StringData": "none"}},
        "params": [{"key": "max_length", "value": "9"}],
    }


def test_it_is_written_filtered_indexed_and_searched_by(api: Api, filled: str, rows: list[Json]) -> None:
    add(api, filled, FIELD, TEXT, ARRAY)
    fresh = [{**row, "id": row["id"] + 20, "extra": row["id"], "text": "new", "array": [1, 2]} for row in rows]
    api.ok("entities/insert", collectionName=filled, data=fresh)
    api.ok("indexes/create", collectionName=filled, indexParams=[{"fieldName": "extra", "indexType": "INVERTED"}])
    for sealed in (False, True):
        if sealed:
            api.ok("collections/flush", collectionName=filled)
        for filter, wanted in {"extra in [2, 3]": [22, 23], "extra is null and id < 2": [0, 1]}.items():
            found = api.ok("entities/query", collectionName=filled, filter=filter, outputFields=["id"])
            assert [row["id"] for row in found] == wanted, (sealed, filter)
        search: Json = {"collectionName": filled, "annsField": "v", "data": [[3, 1, 0, 0]], "limit": 1}
        (hit,) = api.ok("entities/search", **search, filter="extra >= 0", outputFields=["text", "array"])
        assert (hit["id"], hit["text"], hit["array"]) == (23, "new", {"Data": {"IntData": {"data": [1, 2]}}})
        (hit,) = api.ok("entities/search", **search, filter="text is null", outputFields=["text"])
        assert (hit["id"], hit["text"]) == (3, None)
    # What was there takes a value too.
    api.ok("entities/upsert", collectionName=filled, data=[{**rows[3], "extra": 7}])
    (found,) = api.ok("entities/query", collectionName=filled, filter="extra == 7 and id < 20", outputFields=["extra"])
    assert found == {"id": 3, "extra": 7}
    for bad in ({"text": "x" * 10}, {"array": [1, 2, 3, 4]}):
        assert api.fails("entities/insert", collectionName=filled, data=[{**rows[3], **bad}])[0] == 1100


def test_all_else_stays(api: Api, filled: str, rows: list[Json]) -> None:
    """Partitions, deletions, rows that were not flushed, aliases, the load state, indexes."""

    def seen() -> Json:
        return {
            "partitions": api.ok("partitions/list", collectionName=filled),
            "stats": api.ok("collections/get_stats", collectionName=filled),
            "indexes": [api.ok("indexes/describe", collectionName=filled, indexName=name) for name in ("v", "s")],
            "in p": api.ok("entities/query", collectionName=filled, partitionNames=["p"], outputFields=["rank"]),
            "rows": api.ok("entities/query", collectionName="al", outputFields=["v", "s", "label"]),
        }

    api.ok("partitions/create", collectionName=filled, partitionName="p")
    api.ok("aliases/create", collectionName=filled, aliasName="al")
    api.ok("entities/insert", collectionName=filled, data=[{**row, "id": row["id"] + 20} for row in rows])
    api.ok("entities/delete", collectionName=filled, filter="id in [1, 2, 21, 22]")
    api.ok("entities/insert", collectionName=filled, partitionName="p", data=[{**rows[0], "id": 2}])
    before = seen()
    assert len(before["rows"]) == 17
    add(api, "al", FIELD)
    assert seen() == before
    api.ok("collections/release", collectionName=filled)
    add(api, filled, TEXT)
    assert api.ok("collections/get_load_state", collectionName=filled) == {"loadState": "LoadStateNotLoad"}
    api.ok("collections/load", collectionName=filled)
    assert seen() == before


def test_in_a_collection_of_another_database(api: Api) -> None:
    """With a key by which rows are spread over partitions, ids that are made, full text and dynamic fields."""
    inside: Json = {"dbName": "fields", "collectionName": "c"}
    fields = [
        {"fieldName": "id", "dataType": "VarChar", "isPrimary": True, "elementTypeParams": {"max_length": 64}},
        {"fieldName": "tenant", "dataType": "VarChar", "isPartitionKey": True, "elementTypeParams": {"max_length": 9}},
        {"fieldName": "said", "dataType": "VarChar", "elementTypeParams": {"max_length": 99, "enable_analyzer": True}},
        {"fieldName": "words", "dataType": "SparseFloatVector"},
    ]
    function = {"name": "f", "type": "BM25", "inputFieldNames": ["said"], "outputFieldNames": ["words"]}
    schema = {"autoID": True, "enableDynamicField": True, "fields": fields, "functions": [function]}
    api.ok("databases/create", dbName="fields")
    try:
        index = {"fieldName": "words", "metricType": "BM25"}
        api.ok("collections/create", **inside, schema=schema, indexParams=[index])
        data = [{"tenant": f"t{i % 3}", "said": f"word{i} and", "more": {"i": i}} for i in range(9)]
        api.ok("entities/insert", **inside, data=data)
        before = whole(api, "c", "fields")
        assert len(before) == 9
        api.ok("collections/fields/add", **inside, schema=FIELD)
        assert whole(api, "c", "fields") == [{**row, "extra": None} for row in before]
        (hit,) = api.ok("entities/search", **inside, data=["word5"], annsField="words", limit=1, outputFields=["more"])
        assert hit["more"] == {"i": 5}
        # On Milvus the field would hide the values that rows have under the name; here that cannot be had.
        more = {**FIELD, "fieldName": "more"}
        code, message = api.fails("collections/fields/add", **inside, schema=more)
        assert (code, "this local server" in message) == (10, True)
        api.ok("entities/insert", **inside, data=[{"tenant": "t", "said": "", "extra": 5, "mo": 1}])
        (row,) = api.ok("entities/query", **inside, filter="extra == 5")
        assert (row["tenant"], row["mo"]) == ("t", 1)
    finally:
        api.ok("collections/drop", **inside)
        api.ok("databases/drop", dbName="fields")


def test_what_cannot_be_added(api: Api, filled: str) -> None:
    before = api.ok("collections/describe", collectionName=filled)
    vector = {"fieldName": "w", "dataType": "FloatVector", "elementTypeParams": {"dim": 4}, "nullable": True}
    cases: list[tuple[Json, int, str]] = [
        ({**FIELD, "nullable": False}, 1100, "must be nullable"),
        ({**FIELD, "nullable": False, "defaultValue": 5}, 1100, "must be nullable"),
        ({**FIELD, "fieldName": "rank"}, 1100, "duplicate"),
        ({**FIELD, "fieldName": "9"}, 1701, "9"),
        ({**FIELD, "dataType": "int64"}, 1100, "int64"),
        ({**FIELD, "isPrimary": True}, 1100, "pk field"),
        ({**FIELD, "isPartitionKey": True}, 1100, "partition key"),
        (vector, 1100, "vector"),
        ({**FIELD, "defaultValue": "5"}, 1100, "defaultValue"),
        ({**field("Int8"), "defaultValue": 128}, 1100, "default"),
        ({**field("Float"), "defaultValue": 1e39}, 1100, "default"),
        ({**field("JSON"), "defaultValue": {"a": 1}}, 1100, "defaultValue"),
        ({**field("Geometry"), "defaultValue": "POINT (1 2)"}, 1100, "defaultValue"),
        ({**TEXT, "defaultValue": "0123456789"}, 1100, "max length"),
        ({**TEXT, "elementTypeParams": {}}, 65535, "max_length"),
        ({**ARRAY, "elementDataType": "JSON"}, 65535, "element"),
        # Names that the engine keeps for itself.
        ({**FIELD, "fieldName": "_seq"}, 1100, "reserved"),
    ]
    for schema, expected, words in cases:
        code, message = api.fails("collections/fields/add", collectionName=filled, schema=schema)
        assert (code, words in message) == (expected, True), (schema, code, message)
    assert api.ok("collections/describe", collectionName=filled) == before
    assert len(whole(api, filled)) == 10
    add(api, filled, FIELD)


@pytest.mark.slow
def test_a_kill_leaves_what_was_or_what_is_to_be(tmp_path: Path, connect: Callable[[LocalMilvus], Api]) -> None:
    """No row is lost or twice, and a field is there in the schema, in every row and for filters, or nowhere."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    # Of what was acknowledged: fields, and the version of each row.
    fields: list[str] = []
    versions: dict[int, int] = {}
    pending: Json = {}
    failures: list[AssertionError] = []
    numbers = itertools.count(1)

    def churn(api: Api, stepped: threading.Event) -> None:
        try:
            while True:
                number = next(numbers)
                keys = chance.sample(range(40), 5)
                data = [{"id": key, "vector": [1, key], "version": number} for key in keys]
                pending.update(keys=keys, version=number, field="")
                api.ok("entities/upsert", collectionName="c", data=data)
                versions.update(dict.fromkeys(keys, number))
                if len(fields) < 60:
                    pending.update(keys=[], field=f"f{number}")
                    schema = {**FIELD, "fieldName": f"f{number}", "defaultValue": number}
                    api.ok("collections/fields/add", collectionName="c", schema=schema)
                    fields.append(f"f{number}")
                pending.clear()
                stepped.set()
        except HTTPError:
            pass
        except AssertionError as error:
            failures.append(error)

    with LocalMilvus(tmp_path) as running:
        for kill in range(KILLS):
            if kill % 20 == 0:
                connect(running).ok("collections/drop", collectionName="c")
                connect(running).ok("collections/create", collectionName="c", dimension=2)
                connect(running).ok("partitions/create", collectionName="c", partitionName="p")
                fields.clear()
                versions.clear()
            stepped = threading.Event()
            churning = threading.Thread(target=churn, args=(connect(running), stepped))
            churning.start()
            assert stepped.wait(30), failures
            time.sleep(chance.uniform(0, 0.2))
            running.kill()
            churning.join()
            running.start()
            api, where = connect(running), f"seed {seed}, kill {kill}: {pending}"
            assert not failures, where
            described = api.ok("collections/describe", collectionName="c")
            there = [entry["name"] for entry in described["fields"]][2:]
            assert there in (fields, [*fields, pending.get("field")]), where
            found = whole(api, "c")
            assert [row["id"] for row in found] == sorted(versions.keys() | {row["id"] for row in found}), where
            for row in found:
                written = pending.get("keys") and row["id"] in pending["keys"] and row["version"] == pending["version"]
                assert written or row["version"] == versions[row["id"]], (where, row)
                assert {key for key in row if key[0] == "f"} == set(there), (where, row)
                assert all(row[name] == int(name[1:]) for name in there), (where, row)
            fields[:] = there
            versions.update({row["id"]: row["version"] for row in found})
            assert api.ok("indexes/list", collectionName="c") == ["vector"], where
            assert api.ok("partitions/list", collectionName="c") == ["_default", "p"], where
            assert api.ok("collections/list") == ["c"], where
            assert "does not know" not in running.log(), where
            pending.clear()
    assert sorted(path.name for path in (tmp_path / "engine/collections").iterdir()) == ["c"]


@pytest.mark.slow
@pytest.mark.parametrize("state", ["writing", "swapping"])
def test_a_start_that_is_killed_too_is_gone_on_with(
    tmp_path: Path, connect: Callable[[LocalMilvus], Api], state: str
) -> None:
    """The server is killed at once after each start, until one gets through."""
    with LocalMilvus(tmp_path) as running:
        api = connect(running)
        api.ok("collections/create", collectionName="c", schema=SCHEMA)
        data = [{"id": i, "v": [i, 1, 0, 0], "s": {"1": 1}, "label": "x" * 20, "rank": i} for i in range(3000)]
        api.ok("entities/insert", collectionName="c", data=data)
        adding = threading.Thread(target=lambda: _quietly(api))
        adding.start()
        # Caught in the act, not by luck.
        folder = tmp_path / "engine/collections"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not _in(folder, state):
            pass
        running.kill()
        adding.join()
        for seconds in (0.5, 0.7, 0.9, 1.1):
            with contextlib.suppress(LocalMilvusError):
                LocalMilvus(tmp_path, start_timeout=seconds).start().kill()
        running.start()
        api = connect(running)
        api.ok("indexes/create", collectionName="c", indexParams=[{"fieldName": "v"}, {"fieldName": "s"}])
        api.ok("collections/load", collectionName="c")
        (row,) = api.ok("entities/query", collectionName="c", outputFields=["count(*)"])
        assert row["count(*)"] == 3000
        there = [entry["name"] for entry in api.ok("collections/describe", collectionName="c")["fields"]]
        found = api.ok("entities/query", collectionName="c", filter="rank == 7", outputFields=["*"])
        assert [("extra" in row) for row in found] == ["extra" in there]
        assert state == "writing" or "extra" in there


def _in(folder: Path, state: str) -> bool:
    copies = list(folder.glob("copy-*"))
    return bool(copies) and (state == "writing" or not (folder / "c/schema.json").exists())


def _quietly(api: Api) -> None:
    with contextlib.suppress(HTTPError, AssertionError):
        api.ok("collections/fields/add", collectionName="c", schema=FIELD)
