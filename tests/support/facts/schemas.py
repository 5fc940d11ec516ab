"""What collections are made of: how they are created, described, altered and renamed."""

from __future__ import annotations

from typing import Any

from tests.support.facts import ANY, Fact, Json

_C = {"collectionName": "c"}
_ID: Json = {"fieldName": "id", "dataType": "Int64", "isPrimary": True}
_V: Json = {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 4}}
_S: Json = {"fieldName": "s", "dataType": "VarChar", "elementTypeParams": {"max_length": 8}}
_T: Json = {**_S, "fieldName": "t", "elementTypeParams": {"max_length": 8, "enable_analyzer": True}}
_W: Json = {"fieldName": "w", "dataType": "SparseFloatVector"}
_ARRAY: Json = {"fieldName": "a", "dataType": "Array", "elementDataType": "Int64", "elementTypeParams": {}}
_BM25: Json = {"name": "f", "type": "BM25", "inputFieldNames": ["t"], "outputFieldNames": ["w"]}
_TTL = "collection.ttl.seconds"
_NO_PROPERTIES = "only support alter collection properties, but collection properties is empty"


def _described(name: str, kind: str, id: int, **more: Any) -> Json:
    flags = dict.fromkeys(("primaryKey", "partitionKey", "clusteringKey", "autoId", "nullable"), False)
    return {"name": name, "type": kind, "id": id, "description": "", **flags, **more}


def _param(key: str, value: str) -> Json:
    return {"params": [{"key": key, "value": value}]}


def _collection(*fields: Json, **more: Any) -> Json:
    return {
        "collectionName": "c",
        "collectionID": ANY,
        "description": "",
        "autoId": False,
        "fields": list(fields),
        "functions": [],
        "aliases": [],
        "indexes": [],
        "load": "LoadStateNotLoad",
        "shardsNum": 1,
        "partitionsNum": 1,
        "consistencyLevel": "Bounded",
        "enableDynamicField": False,
        "properties": [],
        **more,
    }


def _index(field: str, metric: str = "COSINE", name: str = "") -> Json:
    return {"fieldName": field, "indexName": name or field, "metricType": metric}


def _made(body: Json, described: Json, over: str = "", **more: Any) -> list[Fact]:
    """A collection that is created, described as it is said here, and dropped."""
    return [
        Fact("collections/create", {**_C, **body}, data={}, over=over),
        Fact("collections/describe", _C, data=described, eventually=True, over=over, **more),
        Fact("collections/release", _C, data={}, over=over),
        Fact("collections/drop", _C, data={}, over=over),
    ]


def _of(*fields: Json, **more: Any) -> Json:
    return {"schema": {"fields": list(fields), **more}}


def _with(field: Json, **change: Any) -> Json:
    return {**field, **change}


def _sized(field: Json, **params: Any) -> Json:
    return {**field, "elementTypeParams": params}


def _bad(body: Json, code: int, says: str, over: str = "") -> list[Fact]:
    """A collection that is not created."""
    return [
        Fact("collections/create", {**_C, **body}, code, says=says, over=over),
        Fact("collections/has", _C, data={"has": False}, over=over),
    ]


_PLAIN = [_described("id", "Int64", 100, primaryKey=True), _described("v", "FloatVector", 101, **_param("dim", "4"))]
_QUICK = _collection(
    _described("id", "Int64", 100, primaryKey=True),
    _described("vector", "FloatVector", 101, **_param("dim", "4")),
    enableDynamicField=True,
    indexes=[_index("vector")],
    load="LoadStateLoaded",
)
_NO_DIM = "dimension is not defined in field type params of field v"
_NO_INTEGER = "strconv.ParseInt: parsing "

# Collections that Milvus's handler or proxy refuses, whatever is behind it.
_BAD_QUICK: list[tuple[Json, int, str]] = [
    *(({**body}, 1100, "dimension is required for quickly create") for body in ({}, {"dimension": 0}, _of())),
    ({"schema": {}}, 1100, "[expected=collectionName & dimension][actual=collectionName]"),
    *(({"dimension": dim}, 65535, f"invalid dimension: {dim}. should be in range 2 ~ 32768") for dim in (1, -1)),
    ({"dimension": 40000}, 65535, "invalid dimension: 40000 of field vector. float vector dimension should be in"),
    *(
        (
            {"dimension": 4, "idType": kind},
            1100,
            f"idType can only be [Int64, VarChar], default: Int64: invalid "
            f"parameter[expected=Int64, Varchar][actual={kind}]",
        )
        for kind in ("Nope", "Float")
    ),
    ({"dimension": 4, "idType": "VarChar"}, 65535, f'{_NO_INTEGER}"<nil>": invalid syntax'),
    ({"dimension": 4, "params": {"shardsNum": 100}}, 65535, "maximum shards's number should be limited to 16"),
    ({"dimension": 4, "params": {"consistencyLevel": "Nope"}}, 1100, "default: Bounded: invalid parameter[expected="),
    ({"dimension": 4, "schema": {"functions": [_BM25]}}, 1100, "functions are not supported for quickly create"),
    ({"dimension": 4, "params": {"partitionKeyIsolation": True}}, 105, "no partition key field is set"),
]
_BAD_SCHEMAS: list[tuple[list[Json], int, str]] = [
    ([_with(_ID, isPrimary=False), _V], 65535, "primary key is not specified"),
    ([_ID, _with(_ID, fieldName="id2"), _V], 65535, "there are more than one primary key, field name = id, id2"),
    ([_with(_ID, dataType="Float"), _V], 65535, "the data type of primary key should be Int64 or VarChar"),
    ([_ID], 1100, "schema does not contain vector field"),
    ([_ID, _V, _V], 65535, "duplicated field name v found"),
    ([_ID, {}], 1100, "data type  is invalid(case sensitive)"),
    ([_ID, {"dataType": "Int64"}, _V], 1701, "field name should not be empty"),
    *(([_ID, _with(_V, dataType=kind)], 1100, f"data type {kind} is invalid") for kind in ("Nope", "floatvector")),
    ([_ID, _V, {"fieldName": "n", "dataType": "None"}], 65535, "data type None is not valid"),
    ([_ID, _V, {"fieldName": "n", "dataType": "String"}], 65535, "string data type not supported yet"),
    ([_ID, _with(_V, fieldName="a-b")], 1701, "Invalid field name: a-b. Field name can only contain numbers"),
    *(
        ([_ID, _with(_V, fieldName=word)], 1701, f"{word} is keyword in milvus")
        for word in ("in", "true", "text_match", "JSON_CONTAINS")
    ),
    ([_ID, _with(_V, fieldName="1a")], 1701, "The first character of a field name must be an underscore or letter."),
    ([_ID, _with(_V, fieldName="Timestamp")], 1100, "schema contains system field: RowID, Timestamp, $meta"),
    ([_ID, {"fieldName": "v", "dataType": "FloatVector", "dim": 4}], 65535, _NO_DIM),
    ([_ID, _sized(_V, dim="x")], 65535, f'{_NO_INTEGER}"x": invalid syntax'),
    ([_ID, _sized(_V, dim=4.5)], 65535, f'{_NO_INTEGER}"4.5": invalid syntax'),
    ([_ID, _sized(_V, dim=None)], 65535, f'{_NO_INTEGER}"null": invalid syntax'),
    ([_ID, _sized(_V, dim=[4])], 65535, f'{_NO_INTEGER}"[4]": invalid syntax'),
    ([_ID, _sized(_V, dim="9" * 30)], 65535, "value out of range"),
    ([_ID, _sized(_V, dim=0)], 65535, "invalid dimension: 0. should be in range 2 ~ 32768"),
    ([_ID, _V, _sized(_W, dim=9)], 65535, "dim should not be specified for sparse vector field w"),
    ([_ID, _sized(_with(_V, dataType="BinaryVector"), dim=9)], 65535, "should be multiple of 8"),
    ([_ID, _V, _sized(_S)], 65535, "type param(max_length) should be specified for the field(s) of collection c"),
    *(([_ID, _V, _sized(_S, max_length=most)], 1100, f"(0, 65535], but got {most} instead") for most in (0, 70000)),
    *(
        ([_ID, _V, _with(_ARRAY, elementDataType=kind)], 1100, f"element data type {kind} is invalid")
        for kind in ("", "x")
    ),
    ([_ID, _V, _with(_ARRAY, elementDataType="JSON")], 65535, "element type JSON is not supported"),
    ([_ID, _V, _ARRAY], 65535, "type param(max_capacity) should be specified for array field a of collection c"),
    ([_ID, _V, _sized(_ARRAY, max_capacity=9999)], 65535, "should be in (0, 4096]"),
    ([_ID, _V, _sized(_with(_ARRAY, elementDataType="VarChar"), max_capacity=9)], 65535, "type param(max_length)"),
    ([_with(_ID, isPartitionKey=True), _V], 65535, "the partition key field must not be primary field"),
    ([_ID, _V, {"fieldName": "p", "dataType": "Float", "isPartitionKey": True}], 65535, "data type of partition key"),
    ([_ID, _V, _with(_S, isPartitionKey=True, nullable=True)], 1100, "partition key field not support nullable"),
    ([_ID, _with(_V, isClusteringKey=True)], 107, "vector clustering key not allowed[collection=c]"),
    (
        [_ID, _V, *(_with(_S, fieldName=n, isClusteringKey=True) for n in "xy")],
        105,
        "one clustering key, field name = x, y",
    ),
    (
        [_ID, _V, _with(_ID, fieldName="n", isPrimary=False, defaultValue="x")],
        1100,
        'convert defaultValue fail, err:cannot use "x"(type: string) as long default value: invalid parameter',
    ),
    ([_ID, _with(_V, defaultValue=[1, 2])], 1100, "convert defaultValue fail"),
]
# What Milvus's coordinator refuses: of 2.6, since others behind a server say what they say.
_BAD_SCHEMAS_OF_2_6: list[tuple[list[Json], int, str]] = [
    ([_with(_ID, nullable=True), _V], 1100, "primary field not support null, type:Int64, name:id"),
    ([_with(_ID, defaultValue=1), _V], 1100, "primary field not support default_value, type:Int64, name:id"),
    ([_ID, _with(_V, nullable=True)], 1100, "vector type not support null, type:FloatVector, name:v"),
    ([_ID, _V, {"fieldName": "n", "dataType": "Int8", "defaultValue": 128}], 1100, "default value out of range"),
    ([_ID, _V, _with(_S, defaultValue="123456789")], 1100, "the length (9) of string exceeds max length (8)"),
]
_BAD_FUNCTIONS: list[tuple[list[Json], str]] = [
    ([{**_BM25, "name": ""}], "function name cannot be empty"),
    ([_BM25, _BM25], "duplicate function name: f"),
    ([{**_BM25, "inputFieldNames": []}], "function input field names cannot be empty, function: f"),
    ([{**_BM25, "inputFieldNames": ["no"]}], "function input field not found: no"),
    ([{**_BM25, "outputFieldNames": ["no"]}], "function output field not found: no"),
    ([{**_BM25, "outputFieldNames": ["t"]}], "a single field cannot be both input and output"),
    ([{**_BM25, "params": {"k1": 1}}], "BM25 function accepts no params"),
    ([{**_BM25, "inputFieldNames": ["s"]}], "BM25 function input field must set enable_analyzer to true"),
    ([{**_BM25, "inputFieldNames": ["id"]}], "BM25 function input field must be a VARCHAR/TEXT field"),
]

FACTS: dict[str, list[Fact]] = {
    "quick set-up": [
        *_made({"dimension": 4}, _QUICK),
        *_made({"dimension": 4, "idType": "int64", "params": {"shardsNum": "x", "nope": 1}}, _QUICK),
        *_made({"dimension": 4, "params": {"partitionsNum": 4, "enableDynamicField": "maybe"}}, _QUICK),
        *_made(
            {
                "dimension": 4,
                "metricType": "L2",
                "idType": "VarChar",
                "autoID": True,
                "primaryFieldName": "k",
                "vectorFieldName": "x",
                "description": "hello",
                "params": {
                    "max_length": 64,
                    "enableDynamicField": "false",
                    "shardsNum": "2",
                    "consistencyLevel": "Strong",
                    "ttlSeconds": 1000,
                },
            },
            _collection(
                _described("k", "VarChar", 100, **{**_param("max_length", "64"), "primaryKey": True, "autoId": True}),
                _described("x", "FloatVector", 101, **_param("dim", "4")),
                autoId=True,
                description="hello",
                shardsNum=2,
                consistencyLevel="Strong",
                indexes=[_index("x", "L2")],
                load="LoadStateLoaded",
                properties=[{"key": _TTL, "value": "1000"}],
            ),
        ),
        *(fact for case in _BAD_QUICK for fact in _bad(*case)),
        *(Fact("collections/create", {**_C, "dimension": dim}, 1801) for dim in (2**31, 4.0, "4")),
        *(
            Fact("collections/create", {"collectionName": name, "dimension": 4}, 1100, says=says)
            for name, says in (
                ("a-b", "collection name can only contain numbers, letters and underscores"),
                ("1a", "the first character of a collection name must be an underscore or letter"),
                ("a" * 256, "the length of a collection name must be less than 255 characters"),
            )
        ),
    ],
    "schemas": [
        *_made({**_of(_ID, _V), "dimension": 8}, _collection(*_PLAIN), says="index not found[collection=c];"),
        *_made(_of(_ID, _sized(_V, dim="4"), enableDynamicField=True), _collection(*_PLAIN, enableDynamicField=True)),
        *_made(_of(_ID, _sized(_V, dim=4.0)), _collection(*_PLAIN)),
        # Nobody reads what stands elsewhere.
        *_made(_of(_with(_ID, autoID=True), _with(_V, description="x")), _collection(*_PLAIN)),
        *_made(
            _of(_ID, _V, {"fieldName": "p", "dataType": "Int64", "isPartitionKey": True}),
            _collection(*_PLAIN, _described("p", "Int64", 102, partitionKey=True), partitionsNum=16),
        ),
        *_made(
            _of(_ID, _V, _sized(_with(_ARRAY, elementDataType="VarChar"), max_capacity=9, max_length=8)),
            {"fields": [{}, {}, {"type": "Array", "elementType": "VarChar"}]},
            whole=False,
        ),
        *_made(
            _of(_ID, _V, _with(_S, defaultValue="x")),
            _collection(
                *_PLAIN,
                _described(
                    "s", "VarChar", 102, **_param("max_length", "8"), defaultValue={"Data": {"StringData": "x"}}
                ),
            ),
        ),
        *(
            fact
            for kind, slot, value in (
                ("Bool", "BoolData", True),
                ("Int8", "IntData", 5),
                ("Int64", "LongData", 5),
                ("Double", "DoubleData", 0.5),
            )
            for fact in _made(
                _of(_ID, _V, {"fieldName": "n", "dataType": kind, "defaultValue": value}),
                _collection(*_PLAIN, _described("n", kind, 102, defaultValue={"Data": {slot: value}})),
            )
        ),
        *_made(
            _of(_ID, _V, {"fieldName": "n", "dataType": "Int64", "nullable": True, "isClusteringKey": True}),
            _collection(*_PLAIN, _described("n", "Int64", 102, nullable=True, clusteringKey=True)),
            over="lite",
        ),
        *(fact for fields, code, says in _BAD_SCHEMAS for fact in _bad(_of(*fields), code, says)),
        *(fact for fields, code, says in _BAD_SCHEMAS_OF_2_6 for fact in _bad(_of(*fields), code, says, "lite")),
        *(
            fact
            for functions, says in _BAD_FUNCTIONS
            for fact in _bad(_of(_ID, _V, _S, _T, _W, functions=functions), 65535, says)
        ),
        *_bad(_of(_ID, _V, _S, _T, _W, functions=[{**_BM25, "type": "Nope"}]), 1100, "Unsupported function type: Nope"),
    ],
    "schemas with indexes": [
        *_made(
            {
                **_of(_ID, _V, _S, _with(_V, fieldName="x")),
                "indexParams": [
                    {"fieldName": "v", "indexName": "vi", "metricType": "L2"},
                    {"fieldName": "s", "indexType": "INVERTED"},
                    {"fieldName": "x", "metricType": "IP"},
                ],
            },
            # All of them; and of what has no metric the default.
            {"indexes": [_index("v", "L2", "vi"), _index("s"), _index("x", "IP")], "load": "LoadStateLoaded"},
            over="lite",
            whole=False,
        ),
        # By then the collection exists.
        *(
            fact
            for name in ("nope", "")
            for fact in (
                Fact(
                    "collections/create",
                    {**_C, **_of(_ID, _V), "indexParams": [{"fieldName": name, "metricType": "L2"}]},
                    1802,
                    says=f"`{name}` hasn't defined in schema",
                ),
                Fact("collections/describe", _C, data=_collection(*_PLAIN)),
                Fact("collections/drop", _C),
            )
        ),
    ],
    "default values": [
        Fact(
            "collections/create",
            {
                **_C,
                **_of(_ID, _V, _with(_S, defaultValue="x")),
                "indexParams": [{"fieldName": "v", "metricType": "L2"}],
            },
        ),
        *(
            Fact("entities/insert", {**_C, "data": [{"id": id, "v": [1, 2, 3, 4], **row}]})
            for id, row in enumerate(({}, {"s": None}, {"s": ""}, {"s": "y"}))
        ),
        Fact(
            "entities/query",
            {**_C, "filter": "id >= 0", "outputFields": ["s"], "consistencyLevel": "Strong"},
            data=[{"id": id, "s": value} for id, value in enumerate(("x", "x", "", "y"))],
            eventually=True,
        ),
    ],
    "changes": [
        *(Fact("collections/create", {**_C, "dimension": 4}, data={}) for _ in range(2)),
        *(
            Fact("collections/create", {**_C, **body}, 65535, says="create duplicate collection with different param")
            for body in ({"dimension": 8}, _of(_ID, _V))
        ),
        Fact("collections/alter_properties", {**_C, "properties": {_TTL: 3600}}, data={}),
        Fact("collections/describe", _C, data={"properties": [{"key": _TTL, "value": "3600"}]}, whole=False),
        # As Go writes a float.
        Fact("collections/alter_properties", {**_C, "properties": {_TTL: 2592000}}, data={}),
        Fact("collections/describe", _C, data={"properties": [{"key": _TTL, "value": "2.592e+06"}]}, whole=False),
        Fact("collections/alter_properties", {**_C, "properties": {}}, 65535, says=_NO_PROPERTIES),
        Fact("collections/drop_properties", {**_C, "propertyKeys": []}, 65535, says=_NO_PROPERTIES),
        Fact("collections/drop_properties", {**_C, "propertyKeys": [_TTL, "whatever"]}, data={}, over="lite"),
        Fact("collections/describe", _C, data={"properties": []}, whole=False, over="lite"),
        Fact("collections/alter_properties", {**_C, "properties": {"nope": 1}}, data={}),
        Fact(
            "collections/alter_properties",
            {**_C, "properties": {"partitionkey.isolation": True}},
            105,
            says="no partition key field is set",
            over="lite",
        ),
        Fact("collections/rename", {**_C, "newCollectionName": "r"}, data={}),
        Fact("collections/has", {"collectionName": "r"}, data={"has": True}),
        Fact("collections/has", _C, data={"has": False}),
        Fact(
            "collections/rename", {"collectionName": "r", "newCollectionName": "r"}, 65535, says="duplicated new coll"
        ),
        Fact("collections/rename", {"collectionName": "r", "newCollectionName": "a-b"}, 1100),
        Fact("collections/rename", {**_C, "newCollectionName": "x"}, 100, says="collection not found"),
        Fact("collections/rename", {"collectionName": "r", "newCollectionName": "x", "newDbName": "nodb"}, 800),
    ],
}
