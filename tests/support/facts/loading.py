"""Which collections and partitions are loaded."""

from __future__ import annotations

from tests.support.facts import Fact

_C = {"collectionName": "c"}
_SCHEMA = {
    "fields": [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": "2"}},
    ]
}
_INDEX = {"fieldName": "v", "indexName": "v", "metricType": "L2", "indexType": "FLAT"}
_STATE = "collections/get_load_state"
_LOADED = {"loadState": "LoadStateLoaded", "loadProgress": 100}
_STUCK = {"loadState": "LoadStateLoading", "loadProgress": -1}
_NOT_LOADED = {"loadState": "LoadStateNotLoad"}

FACTS: dict[str, list[Fact]] = {
    "partitions": [
        Fact("collections/create", {**_C, "schema": _SCHEMA}, data={}),
        Fact("indexes/create", {**_C, "indexParams": [_INDEX]}, data={}),
        Fact("partitions/create", {**_C, "partitionName": "p1"}, data={}),
        Fact("partitions/create", {**_C, "partitionName": "p1"}, data={}),
        Fact("partitions/create", {**_C, "partitionName": "_default"}, data={}),
        Fact(_STATE, _C, data=_NOT_LOADED),
        Fact(_STATE, {**_C, "partitionNames": ["nope"]}, data=_NOT_LOADED),
        Fact("entities/search", {**_C, "data": [[0.5, 1.0]]}, 101),
        Fact("partitions/load", {**_C, "partitionNames": []}, 65535, says="due to no partition specified"),
        Fact("partitions/release", {**_C, "partitionNames": []}, 1100, says="[actual=empty partition list]"),
        Fact("partitions/load", {**_C, "partitionNames": ["p1", "nope"]}, 200, says="nope"),
        Fact("partitions/load", {**_C, "partitionNames": ["p1"]}, data={}),
        Fact(_STATE, {**_C, "partitionNames": ["p1"]}, data=_LOADED, beside={"message": ""}, eventually=True),
        Fact(_STATE, _C, data=_LOADED, beside={"message": ""}),
        *(
            Fact(_STATE, {**_C, "partitionNames": names}, data=_STUCK, says="partition not loaded[partition=")
            for names in (["_default"], ["_default", "p1"])
        ),
        Fact(_STATE, {**_C, "partitionNames": ["nope"]}, data=_STUCK, says="partition not found[partition=nope]"),
        Fact(
            "partitions/drop",
            {**_C, "partitionName": "p1"},
            65535,
            says="partition cannot be dropped, partition is loaded",
        ),
        Fact("partitions/drop", {**_C, "partitionName": "_default"}, 65535, says="default partition cannot be deleted"),
        *(Fact("partitions/release", {**_C, "partitionNames": ["p1"]}, data={}) for _ in range(2)),
        *(Fact("partitions/drop", {**_C, "partitionName": "p1"}, data={}) for _ in range(2)),
    ],
    "collections": [
        Fact("collections/create", {**_C, "schema": _SCHEMA}),
        Fact("collections/load", _C, 700),
        Fact("partitions/load", {**_C, "partitionNames": ["_default"]}, 700),
        Fact("indexes/create", {**_C, "indexParams": [_INDEX]}),
        *(Fact("collections/load", _C, data={}) for _ in range(2)),
        Fact(_STATE, _C, data=_LOADED, beside={"message": ""}, eventually=True),
        Fact(_STATE, _C, data=_LOADED, headers={"Accept-Type-Allow-Int64": None}),
        Fact("collections/refresh_load", _C, data={}),
        *(Fact("collections/release", _C, data={}) for _ in range(2)),
        Fact(_STATE, _C, data=_NOT_LOADED),
        Fact("collections/load", _C),
        Fact(_STATE, _C, data=_LOADED, eventually=True),
        Fact("collections/drop", _C, data={}, over="lite"),
        Fact("collections/has", _C, data={"has": False}, over="lite"),
    ],
}
