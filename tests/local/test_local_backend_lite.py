"""``--backend`` in front of an engine that is newer than the one of tests/engine: Milvus Lite behind a gRPC port."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pymilvus.grpc_gen import schema_pb2

from airflow_vectordb.local import LocalMilvus
from tests.support.backend_engine import LiteEngine, lite_engine
from tests.support.local_api import SCHEMA, Api, Json, make_rows

DENSE: Json = {"annsField": "v", "data": [[3, 1, 0, 0]], "limit": 3}  # finds 3, then 2 and 4 at distance 1
SPARSE: Json = {"annsField": "s", "data": [{"5": 2.0}], "limit": 3}  # finds 3 alone, at 2


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiteEngine]:
    with lite_engine(tmp_path_factory.mktemp("lite") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def front(engine: LiteEngine) -> Iterator[Api]:
    """Our REST server before it."""
    with LocalMilvus(backend=f"http://127.0.0.1:{engine.port}", token=None) as running:
        client = Api(running.uri, "ada:Lovelace1")
        with client:
            yield client


@pytest.fixture(scope="module")
def rows(front: Api) -> str:
    """Ten rows; tests leave them as they are."""
    return _filled(front, "rows")


def _filled(front: Api, collection: str) -> str:
    front.ok("collections/create", collectionName=collection, schema=SCHEMA)
    front.ok("entities/insert", collectionName=collection, data=make_rows())
    front.ok("collections/flush", collectionName=collection)
    dense = {"fieldName": "v", "metricType": "L2", "indexType": "FLAT"}
    # The engine itself has no AUTOINDEX for it.
    sparse = {"fieldName": "s", "metricType": "IP", "indexType": "SPARSE_INVERTED_INDEX"}
    front.ok("indexes/create", collectionName=collection, indexParams=[dense, sparse])
    front.ok("collections/load", collectionName=collection)
    return collection


def test_reciprocal_ranks(front: Api, rows: str) -> None:
    rerank = {"strategy": "rrf", "params": {"k": 10}}
    body = {"search": [DENSE, SPARSE], "rerank": rerank, "limit": 3, "outputFields": ["label"]}
    answer = front.post("entities/hybrid_search", {"collectionName": rows, **body}).json()
    assert answer["topks"] == [3]
    first, *rest = answer["data"]
    assert first == {"id": 3, "label": "r3", "distance": pytest.approx(2 / 11, rel=1e-6)}
    assert [hit["distance"] for hit in rest] == [pytest.approx(1 / rank, rel=1e-6) for rank in (12, 13)]
    assert {hit["label"] for hit in rest} == {"r2", "r4"}
    later = front.ok("entities/hybrid_search", collectionName=rows, **{**body, "limit": 2, "offset": 1})
    assert later == rest


def test_weighted_scores(front: Api, rows: str) -> None:
    found = {}
    for weights in ([1.0, 0.0], [0.0, 1.0], [0.25, 0.5]):
        rerank = {"strategy": "weighted", "params": {"weights": weights, "norm_score": True}}
        hits = front.ok("entities/hybrid_search", collectionName=rows, search=[DENSE, SPARSE], rerank=rerank)
        found[tuple(weights)] = {hit["id"]: hit["distance"] for hit in hits}
    # How the engine brings scores to one scale is its own; that the weights got there shows in their sum.
    dense, sparse, both = found.values()
    assert both[3] == pytest.approx(0.25 * dense[3] + 0.5 * sparse[3], rel=1e-5)
    assert both[2] == pytest.approx(0.25 * dense[2], rel=1e-5)


def test_groups_and_filters_of_a_hybrid_search(front: Api, rows: str) -> None:
    wide = {**DENSE, "limit": 10}
    body = {"collectionName": rows, "rerank": {"strategy": "rrf"}}
    hits = front.ok("entities/hybrid_search", **body, search=[wide], groupingField="rank", outputFields=["rank"])
    assert sorted(hit["rank"] for hit in hits) == [0, 1, 2]
    narrow = {**wide, "filter": "rank == {r}", "exprParams": {"r": 2}}
    hits = front.ok("entities/hybrid_search", **body, search=[narrow])
    assert sorted(hit["id"] for hit in hits) == [2, 5, 8]
    refused = front.post(
        "entities/hybrid_search", {"collectionName": rows, "search": [DENSE], "rerank": {"strategy": "best"}}
    ).json()
    assert refused["code"] != 0
    assert "best" in refused["message"]


@pytest.mark.parametrize(
    ("path", "method", "body"),
    [
        ("entities/query", "Query", {"filter": "id == 3"}),
        ("entities/get", "Query", {"id": 3}),
        ("entities/search", "Search", {"annsField": "v", "data": [[3, 1, 0, 0]]}),
        ("entities/hybrid_search", "HybridSearch", {"search": [DENSE], "rerank": {"strategy": "rrf"}}),
    ],
)
def test_the_consistency_level_is_passed_on(
    front: Api, engine: LiteEngine, rows: str, path: str, method: str, body: Json
) -> None:
    for level, number in (("Strong", 0), ("Session", 1), ("Bounded", 2), ("Eventually", 3)):
        front.ok(path, collectionName=rows, consistencyLevel=level, **body)
        request = engine.last(method).request
        assert (request.use_default_consistency, request.consistency_level) == (False, number)
    front.ok(path, collectionName=rows, **body)
    assert engine.last(method).request.use_default_consistency
    assert front.fails(path, collectionName=rows, consistencyLevel="strong", **body)[0] == 1100


def test_the_callers_token_is_passed_on(front: Api, engine: LiteEngine) -> None:
    front.ok("collections/list")
    assert engine.last("ShowCollections").caller == "ada:Lovelace1"
    other = Api(front.uri, "an-api-key")
    with other:
        other.ok("databases/list")
    assert engine.last("ListDatabases").caller == "an-api-key"


def test_sparse_vectors(front: Api, rows: str) -> None:
    (row,) = front.ok("entities/get", collectionName=rows, id=3, outputFields=["s"])
    assert row == {"id": 3, "s": {"1": 0.5, "5": 1.0}}
    best = front.ok("entities/search", collectionName=rows, ids=[3], annsField="s", outputFields=["id"])[0]
    assert (best["id"], best["distance"]) == (3, 1.25)


def test_partial_update(front: Api) -> None:
    _filled(front, "partial")
    changed = [{"id": 3, "label": "new"}, {"id": 4, "label": "newer"}]
    done = front.ok("entities/upsert", collectionName="partial", data=changed, partialUpdate=True)
    assert done == {"upsertCount": 2, "upsertIds": [3, 4]}
    found = front.ok("entities/get", collectionName="partial", id=[3, 4], outputFields=["label", "v", "rank"])
    assert found == [
        {"id": 3, "label": "new", "v": [3, 1, 0, 0], "rank": 0},
        {"id": 4, "label": "newer", "v": [4, 1, 0, 0], "rank": 1},
    ]


def test_truncate(front: Api) -> None:
    _filled(front, "emptied")
    front.ok("collections/truncate", collectionName="emptied")
    assert front.ok("entities/query", collectionName="emptied", outputFields=["count(*)"]) == [{"count(*)": 0}]
    assert front.fails("collections/truncate", collectionName="nope")[0] == 100


def test_properties(front: Api) -> None:
    front.ok("databases/create", dbName="kept", properties={"database.replica.number": 1})
    front.ok("databases/alter", dbName="kept", properties={"database.max.collections": 10})
    front.ok("databases/drop_properties", dbName="kept", propertyKeys=["database.replica.number"])
    assert front.ok("databases/describe", dbName="kept")["properties"] == [
        {"key": "database.max.collections", "value": "10"}
    ]
    front.ok("collections/create", collectionName="aging", dbName="kept", schema=SCHEMA)
    front.ok("collections/alter_properties", collectionName="aging", dbName="kept", properties={"a": "1", "b": "2"})
    front.ok("collections/drop_properties", collectionName="aging", dbName="kept", propertyKeys=["a"])
    described = front.ok("collections/describe", collectionName="aging", dbName="kept")
    assert {"key": "b", "value": "2"} in described["properties"]
    assert "a" not in [pair["key"] for pair in described["properties"]]


FUNCTION: Json = {"name": "f", "type": "BM25", "inputFieldNames": ["label"], "outputFieldNames": ["s"]}


@pytest.mark.parametrize(
    ("path", "call", "body"),
    [
        (
            "collections/fields/alter_properties",
            "AlterCollectionField",
            {"fieldName": "label", "fieldParams": {"m": 1}},
        ),
        ("collections/fields/add", "AddCollectionField", {"schema": {"fieldName": "n", "dataType": "Int64"}}),
        ("collections/add_function", "AddCollectionFunction", {"function": FUNCTION}),
        ("collections/alter_function", "AlterCollectionFunction", {"functionName": "f", "function": FUNCTION}),
        ("collections/drop_function", "DropCollectionFunction", {"functionName": "f"}),
        ("indexes/alter_properties", "AlterIndex", {"indexName": "v", "properties": {"mmap.enabled": "true"}}),
        ("partitions/load", "LoadPartitions", {"partitionNames": ["_default"]}),
        ("partitions/release", "ReleasePartitions", {"partitionNames": ["_default"]}),
        ("jobs/import/create", "an import", {"files": [["a.json"]]}),
    ],
)
def test_a_call_that_the_engine_does_not_know(front: Api, rows: str, path: str, call: str, body: Json) -> None:
    code, message = front.fails(path, collectionName=rows, **body)
    assert code == 10
    assert message.startswith(f"{call}: milvus_lite-3.")
    assert message.endswith("not implemented over the Milvus behind this server")


def test_what_would_be_sent_of_fields_and_functions(front: Api, engine: LiteEngine, rows: str) -> None:
    """Milvus Lite refuses these calls after it has read them."""
    schema = {"fieldName": "n", "dataType": "Int64", "nullable": True, "defaultValue": 7}
    front.fails("collections/fields/add", collectionName=rows, schema=schema)
    request = engine.last("AddCollectionField").request
    field = schema_pb2.FieldSchema.FromString(request.schema)
    assert (request.collection_name, field.name, field.data_type) == (rows, "n", schema_pb2.Int64)
    assert (field.nullable, field.default_value.long_data) == (True, 7)
    front.fails("collections/alter_function", collectionName=rows, functionName="old", function=FUNCTION)
    request = engine.last("AlterCollectionFunction").request
    function = request.functionSchema
    assert (request.function_name, function.name, function.type) == ("old", "f", schema_pb2.BM25)
    assert (list(function.input_field_names), list(function.output_field_names)) == (["label"], ["s"])
    params = {"max_length": 40, "mmap.enabled": True}
    front.fails("collections/fields/alter_properties", collectionName=rows, fieldName="label", fieldParams=params)
    request = engine.last("AlterCollectionField").request
    assert request.field_name == "label"
    assert {pair.key: pair.value for pair in request.properties} == {"max_length": "40", "mmap.enabled": "true"}


def test_what_no_milvus_has_is_not_sent(front: Api, rows: str) -> None:
    function = {**FUNCTION, "type": "Alchemy"}
    code, message = front.fails("collections/add_function", collectionName=rows, function=function)
    assert code == 1100
    assert "Alchemy" in message
    vector = {"fieldName": "w", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}, "defaultValue": "x"}
    assert front.fails("collections/fields/add", collectionName=rows, schema=vector)[0] == 1100


def test_types_that_the_engine_does_not_have(front: Api) -> None:
    for kind in ("BinaryVector", "Float16Vector", "BFloat16Vector", "Int8Vector"):
        fields = [SCHEMA["fields"][0], {"fieldName": "w", "dataType": kind, "elementTypeParams": {"dim": 8}}]
        _, message = front.fails("collections/create", collectionName="none", schema={"fields": fields})
        assert kind in message
