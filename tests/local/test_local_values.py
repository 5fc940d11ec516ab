"""Values of every type: as they are written, and as they come back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.local_api import SCHEMA, Api, Json, ids

TYPES: dict[str, tuple[Json, list[tuple[Any, Any]]]] = {
    "Bool": ({}, [(True, True), (False, False), ("true", True)]),
    "Int8": ({}, [(-128, -128), (127, 127), ("5", 5), (2.0, 2)]),
    "Int16": ({}, [(-(2**15), -(2**15))]),
    "Int32": ({}, [(2**31 - 1, 2**31 - 1)]),
    "Int64": ({}, [(2**63 - 1, 2**63 - 1), (-(2**63), -(2**63))]),
    "Float": ({}, [(0.1, 0.1), (3, 3), ("2.5", 2.5)]),
    "Double": ({}, [(0.1, 0.1), (1e300, 1e300)]),
    "VarChar": ({"elementTypeParams": {"max_length": 99}}, [("", ""), ('日本 " \\ \n', '日本 " \\ \n'), (5, "5")]),
    "JSON": ({}, [({"a": [1, {"b": None}]}, '{"a": [1, {"b": null}]}'), ([1, "x"], '[1, "x"]')]),
    "Array": (
        {"elementDataType": "Int64", "elementTypeParams": {"max_capacity": 3}},
        [([1, 2], {"Data": {"LongData": {"data": [1, 2]}}})],
    ),
}


@pytest.mark.parametrize("kind", TYPES)
def test_values_come_back_as_milvus_gives_them(api: Api, name: str, kind: str) -> None:
    params, cases = TYPES[kind]
    fields = [SCHEMA["fields"][0], SCHEMA["fields"][1], {"fieldName": "x", "dataType": kind, **params}]
    indexes = [{"fieldName": "v"}]
    api.ok("collections/create", collectionName=name, schema={"fields": fields}, indexParams=indexes)
    data = [{"id": i, "v": [1, 2, 3, 4], "x": given} for i, (given, _) in enumerate(cases)]
    api.ok("entities/insert", collectionName=name, data=data)
    for _ in range(2):
        found = api.ok("entities/query", collectionName=name, outputFields=["x"])
        assert [row["x"] for row in found] == [back for _, back in cases]
        # The second time from sealed rows, which the engine keeps in another form.
        api.ok("collections/flush", collectionName=name)
    hits = api.ok("entities/search", collectionName=name, data=[[1, 2, 3, 4]], outputFields=["x"], limit=1)
    assert hits[0]["x"] in [back for _, back in cases]


def test_null_and_default_values(api: Api, name: str) -> None:
    fields = [
        *SCHEMA["fields"][:2],
        {"fieldName": "maybe", "dataType": "Int32", "nullable": True},
        {"fieldName": "word", "dataType": "VarChar", "elementTypeParams": {"max_length": 9}, "defaultValue": "none"},
    ]
    api.ok("collections/create", collectionName=name, schema={"fields": fields}, indexParams=[{"fieldName": "v"}])
    vector = [1, 2, 3, 4]
    data = [{"id": 1, "v": vector}, {"id": 2, "v": vector, "maybe": 7, "word": "given"}]
    api.ok("entities/insert", collectionName=name, data=data)
    wanted = [{"id": 1, "maybe": None, "word": "none"}, {"id": 2, "maybe": 7, "word": "given"}]
    assert api.ok("entities/query", collectionName=name, outputFields=["maybe", "word"]) == wanted
    found = api.ok("entities/query", collectionName=name, filter="maybe is null", outputFields=["id"])
    assert ids(found) == [1]
    described = {f["name"]: f for f in api.ok("collections/describe", collectionName=name)["fields"]}
    assert described["maybe"]["nullable"]


def test_dynamic_fields(api: Api, name: str) -> None:
    api.ok("collections/create", collectionName=name, dimension=2)
    rows: list[Json] = [
        {"id": 1, "vector": [1, 2], "colour": "red", "tags": ["a"], "deep": {"x": 1.5}, "none": None},
        {"id": 2, "vector": [2, 1], "colour": "blue", "Größe": 7, "many": 2**53 + 1},
    ]
    api.ok("entities/insert", collectionName=name, data=rows)
    # A null is not kept, and Milvus reads numbers as float64.
    del rows[0]["none"]
    assert api.ok("entities/query", collectionName=name) == [rows[0], {**rows[1], "many": 2**53}]
    assert api.fails("entities/insert", collectionName=name, data=[{**rows[0], "$meta": {"a": 1}}])[0] == 1804
    assert api.ok("entities/query", collectionName=name, filter='colour == "blue"', outputFields=["colour"]) == [
        {"id": 2, "colour": "blue"}
    ]
    hits = api.ok("entities/search", collectionName=name, data=[[1, 2]], limit=1, outputFields=["colour", "deep"])
    assert (hits[0]["colour"], hits[0]["deep"]) == ("red", {"x": 1.5})
