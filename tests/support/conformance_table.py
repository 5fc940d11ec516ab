"""What Milvus publishes of its REST API v2, a row per endpoint; the tests of conformance are made from it.

Written down here by hand, so that a gap in the server shows as a row that fails.
"""

from __future__ import annotations

from tests.support import access_table
from tests.support.conformance_row import COLLECTION, SCHEMA, Json, Row

_ROW: Json = {"id": 9, "v": [1.0, 2.0], "t": "x"}


def _named(
    path: str, *, missing: int | None = 100, nowhere: int = 800, before: tuple[tuple[str, Json], ...] = ()
) -> Row:
    """An endpoint that takes a collection, and nothing else."""
    return Row(
        path,
        {"collectionName": COLLECTION},
        ("collectionName",),
        {"dbName": "string", "collectionName": "string"},
        missing,
        nowhere,
        before=before,
    )


_IN = {"dbName": "string", "collectionName": "string"}
_ALIAS = {"dbName": "string", "aliasName": "string"}
_RELEASE = ("collections/release", {"collectionName": COLLECTION})
_NO_ALIAS = ("aliases/drop", {"aliasName": "al"})
_READ = {"outputFields": "array", "partitionNames": "array", "consistencyLevel": "string"}
_SEARCH = {
    **_IN,
    **_READ,
    "limit": "integer",
    "offset": "integer",
    "groupingField": "string",
    "groupSize": "integer",
    "strictGroupSize": "boolean",
    "functionScore": "object",
}
_PARTITION = {**_IN, "partitionName": "string"}
_PARTITIONS = {**_IN, "partitionNames": "array"}
_FUNCTION: Json = {"name": "f", "type": "BM25", "inputFieldNames": ["t"], "outputFieldNames": ["s"]}
_FUNCTION_NEEDS = tuple(f"function.{key}" for key in ("name", "type", "inputFieldNames", "outputFieldNames"))
_FUNCTION_TYPES = {
    "function": "object",
    "function.name": "string",
    "function.type": "string",
    "function.description": "string",
    "function.inputFieldNames": "array",
    "function.outputFieldNames": "array",
    "function.params": "object",
}
_BM25 = "Milvus itself neither adds, alters nor drops BM25 functions, and there are no others here"
_FIELD_TYPES = {
    "fieldName": "string",
    "dataType": "string",
    "elementDataType": "string",
    "isPrimary": "boolean",
    "isPartitionKey": "boolean",
    "isClusteringKey": "boolean",
    "nullable": "boolean",
    "elementTypeParams": "object",
    "defaultValue": "any",
}


def _under(prefix: str, types: dict[str, str]) -> dict[str, str]:
    return {f"{prefix}.{key}": value for key, value in types.items()}


_INDEX_TYPES = {
    "fieldName": "string",
    "indexName": "string",
    "metricType": "string",
    "indexType": "string",
    "params": "object",
}

ROWS: tuple[Row, ...] = (
    # --- aliases ---
    Row(
        "aliases/create",
        {"aliasName": "al2", "collectionName": COLLECTION},
        ("aliasName", "collectionName"),
        {**_ALIAS, "collectionName": "string"},
    ),
    Row(
        "aliases/alter",
        {"aliasName": "al", "collectionName": COLLECTION},
        ("aliasName", "collectionName"),
        {**_ALIAS, "collectionName": "string"},
    ),
    Row("aliases/describe", {"aliasName": "al"}, ("aliasName",), _ALIAS, None),
    Row("aliases/list", {"collectionName": COLLECTION}, (), _IN),
    Row("aliases/drop", {"aliasName": "al"}, ("aliasName",), _ALIAS, None),
    # --- collections ---
    Row(
        "collections/create",
        {"collectionName": "new", "schema": {**SCHEMA, "functions": []}, "indexParams": [{"fieldName": "v"}]},
        ("collectionName",),
        {
            **_IN,
            "dimension": "integer",
            "metricType": "string",
            "idType": "string",
            "autoID": "boolean",
            "primaryFieldName": "string",
            "vectorFieldName": "string",
            "description": "string",
            "params": "object",
            "schema": "object",
            "schema.autoID": "boolean",
            "schema.enableDynamicField": "boolean",
            "schema.fields": "array",
            "schema.fields.0": "object",
            **_under("schema.fields.0", _FIELD_TYPES),
            "schema.functions": "array",
            "indexParams": "array",
            "indexParams.0": "object",
            **_under("indexParams.0", _INDEX_TYPES),
        },
        None,
    ),
    _named("collections/describe"),
    Row("collections/list", {}, (), {"dbName": "string"}, None),
    _named("collections/has", missing=0),
    _named("collections/drop", missing=0, before=(_NO_ALIAS,)),
    _named("collections/load"),
    _named("collections/release"),
    _named("collections/refresh_load"),
    Row(
        "collections/get_load_state",
        {"collectionName": COLLECTION, "partitionNames": ["p"]},
        ("collectionName",),
        _PARTITIONS,
        nowhere=100,
    ),
    _named("collections/get_stats"),
    _named("collections/flush", missing=1807, nowhere=1807),
    _named("collections/truncate"),
    Row(
        "collections/rename",
        {"collectionName": COLLECTION, "newCollectionName": "renamed"},
        ("collectionName", "newCollectionName"),
        {**_IN, "newCollectionName": "string", "newDbName": "string"},
    ),
    Row(
        "collections/compact",
        {"collectionName": COLLECTION, "isClustering": False},
        ("collectionName",),
        {**_IN, "isClustering": "boolean"},
        nowhere=1807,
    ),
    Row("collections/get_compaction_state", {"jobID": 1}, (), {"jobID": "integer"}, None, None),
    Row(
        "collections/alter_properties",
        {"collectionName": COLLECTION, "properties": {"collection.ttl.seconds": 1800}},
        ("collectionName",),
        {**_IN, "properties": "object"},
    ),
    Row(
        "collections/drop_properties",
        {"collectionName": COLLECTION, "propertyKeys": ["collection.ttl.seconds"]},
        ("collectionName",),
        {**_IN, "propertyKeys": "array"},
    ),
    Row(
        "collections/fields/alter_properties",
        {"collectionName": COLLECTION, "fieldName": "t", "fieldParams": {"max_length": 99}},
        ("collectionName", "fieldName"),
        {**_IN, "fieldName": "string", "fieldParams": "object"},
    ),
    Row(
        "collections/fields/add",
        {"collectionName": COLLECTION, "schema": {"fieldName": "n", "dataType": "Int64", "nullable": True}},
        ("collectionName", "schema", "schema.fieldName", "schema.dataType"),
        {**_IN, "schema": "object", **_under("schema", _FIELD_TYPES)},
    ),
    Row(
        "collections/add_function",
        {"collectionName": COLLECTION, "function": _FUNCTION},
        ("collectionName", "function", *_FUNCTION_NEEDS),
        {**_IN, **_FUNCTION_TYPES},
        code=1100,
        why=_BM25,
    ),
    Row(
        "collections/alter_function",
        {"collectionName": COLLECTION, "functionName": "f", "function": _FUNCTION},
        ("collectionName", "functionName", "function", *_FUNCTION_NEEDS),
        {**_IN, "functionName": "string", **_FUNCTION_TYPES},
        code=1100,
        why=_BM25,
    ),
    Row(
        "collections/drop_function",
        {"collectionName": COLLECTION, "functionName": "f"},
        ("collectionName", "functionName"),
        {**_IN, "functionName": "string"},
        code=1100,
        why=_BM25,
    ),
    # --- databases ---
    Row("databases/list", {}, (), {}, None, None),
    Row(
        "databases/create",
        {"dbName": "conformed", "properties": {"database.replica.number": 1}},
        ("dbName",),
        {"dbName": "string", "properties": "object"},
        None,
        None,
    ),
    Row("databases/describe", {"dbName": "default"}, ("dbName",), {"dbName": "string"}, None),
    Row("databases/drop", {"dbName": "conformed"}, ("dbName",), {"dbName": "string"}, None, 0),
    *(
        Row(
            path,
            {"dbName": "default", "properties": {"database.replica.number": 1}},
            ("dbName",),
            {"dbName": "string", "properties": "object"},
            None,
        )
        for path in ("databases/alter", "databases/alter_properties")
    ),
    Row(
        "databases/drop_properties",
        {"dbName": "default", "propertyKeys": ["database.replica.number"]},
        ("dbName",),
        {"dbName": "string", "propertyKeys": "array"},
        None,
    ),
    # --- entities ---
    *(
        Row(
            f"entities/{action}",
            {"collectionName": COLLECTION, "data": [_ROW], "partitionName": "p"},
            ("collectionName", "data"),
            {**_PARTITION, "data": "array", "data.0": "object"},
        )
        for action in ("insert", "upsert")
    ),
    Row(
        "entities/delete",
        {"collectionName": COLLECTION, "filter": "id == {x}", "exprParams": {"x": 1}},
        ("collectionName", "filter"),
        {**_PARTITION, "filter": "string", "exprParams": "object"},
    ),
    Row(
        "entities/get",
        {"collectionName": COLLECTION, "id": [1], "outputFields": ["t"]},
        ("collectionName", "id"),
        {**_PARTITION, **_READ, "id": "any"},
    ),
    Row(
        "entities/query",
        {"collectionName": COLLECTION, "filter": "id > 0", "limit": 3, "offset": 0, "consistencyLevel": "Strong"},
        ("collectionName",),
        {**_IN, **_READ, "filter": "string", "limit": "integer", "offset": "integer", "exprParams": "object"},
    ),
    Row(
        "entities/search",
        {"collectionName": COLLECTION, "data": [[1.0, 2.0]], "annsField": "v", "limit": 2, "filter": "id > 0"},
        ("collectionName", "data"),
        {
            **_SEARCH,
            "data": "array",
            "ids": "array",
            "annsField": "string",
            "filter": "string",
            "exprParams": "object",
            "searchParams": "object",
        },
    ),
    *(
        Row(
            f"entities/{action}_search",
            {
                "collectionName": COLLECTION,
                "search": [{"data": [[1.0, 2.0]], "annsField": "v", "limit": 2}],
                "rerank": {"strategy": "rrf", "params": {"k": 10}},
                "limit": 2,
            },
            ("collectionName",),
            {
                **_SEARCH,
                "search": "array",
                "search.0": "object",
                "search.0.data": "array",
                "search.0.annsField": "string",
                "search.0.filter": "string",
                "search.0.limit": "integer",
                "search.0.offset": "integer",
                "search.0.metricType": "string",
                "search.0.params": "object",
                "search.0.exprParams": "object",
                "rerank": "object",
                "rerank.strategy": "string",
                "rerank.params": "object",
            },
        )
        for action in ("hybrid", "advanced")
    ),
    # --- indexes ---
    Row(
        "indexes/create",
        {"collectionName": COLLECTION, "indexParams": [{"fieldName": "t", "indexType": "INVERTED"}]},
        ("collectionName", "indexParams"),
        {**_IN, "indexParams": "array", "indexParams.0": "object", **_under("indexParams.0", _INDEX_TYPES)},
    ),
    *(
        Row(
            f"indexes/{action}",
            {"collectionName": COLLECTION, "indexName": "v"},
            ("collectionName", "indexName"),
            {**_IN, "indexName": "string"},
            before=(_RELEASE,),
        )
        for action in ("describe", "drop")
    ),
    _named("indexes/list"),
    Row(
        "indexes/alter_properties",
        {"collectionName": COLLECTION, "indexName": "v", "properties": {"mmap.enabled": True}},
        ("collectionName", "indexName"),
        {**_IN, "indexName": "string", "properties": "object"},
        before=(_RELEASE,),
    ),
    Row(
        "indexes/drop_properties",
        {"collectionName": COLLECTION, "indexName": "v", "propertyKeys": ["mmap.enabled"]},
        ("collectionName", "indexName"),
        {**_IN, "indexName": "string", "propertyKeys": "array"},
        before=(_RELEASE,),
    ),
    # --- jobs ---
    Row(
        "jobs/import/create",
        {"collectionName": COLLECTION, "files": [["rows.json"]], "options": {"timeout": "300s"}},
        ("collectionName", "files"),
        {**_PARTITION, "files": "array", "files.0": "array", "files.0.0": "string", "options": "object"},
    ),
    *(
        Row(
            f"jobs/import/{action}",
            {"jobId": "1"},
            ("jobId",),
            {"jobId": "string"},
            None,
            None,
            code=2100,
            why="there is no job of that id; jobs that are there have tests of their own",
        )
        for action in ("describe", "get_progress")
    ),
    Row("jobs/import/list", {"collectionName": COLLECTION}, (), _IN),
    # --- partitions ---
    Row(
        "partitions/create",
        {"collectionName": COLLECTION, "partitionName": "q"},
        ("collectionName", "partitionName"),
        _PARTITION,
    ),
    *(
        Row(
            f"partitions/{action}",
            {"collectionName": COLLECTION, "partitionName": "p"},
            ("collectionName", "partitionName"),
            _PARTITION,
            nowhere=nowhere,
            before=(_RELEASE,),
        )
        for action, nowhere in (("has", 100), ("drop", 800), ("get_stats", 800))
    ),
    _named("partitions/list", nowhere=100),
    *(
        Row(
            f"partitions/{action}",
            {"collectionName": COLLECTION, "partitionNames": ["p"]},
            ("collectionName", "partitionNames"),
            {**_PARTITIONS, "partitionNames.0": "string"},
        )
        for action in ("load", "release")
    ),
    *access_table.ROWS,
)
