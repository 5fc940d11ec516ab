"""Indexes: what is created, what is described of them, what is refused, altered and dropped."""

from __future__ import annotations

from tests.support.facts import LITE, Fact, Json

_C: Json = {"collectionName": "c"}
_VECTORS: list[Json] = [
    {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
    {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 4}},
    {"fieldName": "n", "dataType": "Int32"},
    {"fieldName": "word", "dataType": "VarChar", "elementTypeParams": {"max_length": 16}},
]
_CREATED = Fact("collections/create", {**_C, "schema": {"enableDynamicField": True, "fields": _VECTORS}}, data={})
_PARAMS: Json = {"M": 16, "efConstruction": 64}
_V: Json = {"fieldName": "v", "indexName": "v", "metricType": "L2"}
_HNSW: Json = {**_V, "indexType": "HNSW", "params": _PARAMS}
_TEXT = '{"M":16,"efConstruction":64}'


def _create(*indexes: Json, code: int = 0, says: str = "", over: str = "") -> Fact:
    return Fact("indexes/create", {**_C, "indexParams": list(indexes)}, code, says=says, over=over)


def _describe(kind: str, metric: str, params: str = "", name: str = "v", over: str = "") -> Fact:
    pairs = {"index_type": kind, "metric_type": metric, "params": params}
    found = {
        "indexName": name,
        "fieldName": name,
        "indexType": kind,
        "metricType": metric,
        "indexState": "Finished",
        "indexParams": [{"key": key, "value": value} for key, value in pairs.items() if value] or None,
        "totalRows": 0,
        "indexedRows": 0,
        "pendingRows": 0,
        "failReason": "",
        "mmap.enabled": "",
        "indexoffsetcache.enabled": "",
    }
    body = {**_C, "indexName": name}
    return Fact("indexes/describe", body, data=[found], whole=False, eventually=True, over=over)


def _drop(name: str = "v", code: int = 0, says: str = "") -> Fact:
    return Fact("indexes/drop", {**_C, "indexName": name}, code, says=says)


def _built(index: Json, kind: str, metric: str, params: str = "") -> list[Fact]:
    """An index that is created, described and dropped again."""
    return [_create(index), _describe(kind, metric, params), _drop()]


_TYPE_TEXT = f'{_TEXT[:-1]},"index_type":"HNSW"}}'
_WITH_METRIC: Json = {"metric_type": "IP", **_PARAMS}
_METRIC_TEXT = f'{_TEXT[:-1]},"metric_type":"IP"}}'
_NAME = "Invalid index name"
_GONE = Fact("indexes/describe", {**_C, "indexName": "v"}, 700, says="index not found[indexName=v]")

FACTS: dict[str, list[Fact]] = {
    "what is described": [
        _CREATED,
        Fact("indexes/list", _C, data=[]),
        _GONE,
        _drop("nope"),
        *_built(_HNSW, "HNSW", "L2", _TEXT),
        *_built(
            {**_HNSW, "params": {"efConstruction": "64", "M": 16.0}}, "HNSW", "L2", '{"M":16,"efConstruction":"64"}'
        ),
        *_built(
            {**_V, "params": {"index_type": "HNSW", **_PARAMS}}, "HNSW", "L2", f'{_TEXT[:-1]},"index_type":"HNSW"}}'
        ),
        *_built({**_HNSW, "metricType": "", "params": _WITH_METRIC}, "HNSW", "", _METRIC_TEXT),
        *_built({**_HNSW, "params": _WITH_METRIC}, "HNSW", "L2", _METRIC_TEXT),
        *_built({**_V, "indexType": "FLAT"}, "FLAT", "L2"),
        *_built(_V, "AUTOINDEX", "L2"),
        *_built({**_V, "metricType": ""}, "AUTOINDEX", "COSINE"),
        *_built({**_V, "indexType": "AUTOINDEX", "params": {"index_type": "AUTOINDEX"}}, "AUTOINDEX", "L2"),
        *_built({**_V, "indexConfig": {"index_type": "HNSW", **_PARAMS}}, "AUTOINDEX", "L2"),
        _create({"fieldName": "n", "indexName": "n"}, over=LITE),
        _describe("", "", name="n", over=LITE),
    ],
    "what is refused": [
        _CREATED,
        _create(),
        Fact("indexes/create", {**_C, "indexParams": None}, 1802),
        _create({**_HNSW, "metricType": ""}, code=1100, says="metric type not set for vector index"),
        _create({**_HNSW, "metricType": "l2"}, code=1100, says="float vector index does not support metric type: l2"),
        _create({**_HNSW, "metricType": "BM25"}, code=1100, says="float vector index does not support metric type"),
        _create({**_HNSW, "indexType": "NOPE"}, code=1100, says="invalid index type: NOPE"),
        _create({**_HNSW, "indexType": "hnsw"}, code=1100, says="invalid index type: hnsw"),
        _create(
            {**_V, "indexType": "SPARSE_INVERTED_INDEX"},
            code=1100,
            says="data type FloatVector can't build with this index SPARSE_INVERTED_INDEX",
        ),
        *(
            _create({**_V, "params": _PARAMS, **more}, code=65535, says="only metric type can be passed when use Auto")
            for more in ({}, {"indexType": ""}, {"indexType": "AUTOINDEX"}, {"index_type": "HNSW"})
        ),
        *(
            _create({**_HNSW, "params": {**_PARAMS, "M": value}}, code=65535, says="M out of range")
            for value in (0, 4096, "many", [16], None, True)
        ),
        _create(
            {**_HNSW, "params": {**_PARAMS, "mmap.enabled": "maybe"}},
            code=1100,
            says="invalid mmap type params: invalid mmap.enabled value: maybe, expected: true, false",
        ),
        *(_create({**_HNSW, "indexName": name}, code=65535, says=_NAME) for name in ("1a", "a-b", "ü", "a" * 300)),
        # What is no field may be a dynamic one.
        *(
            _create({"fieldName": name, "indexType": "INVERTED"}, code=1100, says="json index must specify cast type")
            for name in ("nope", "$meta", "")
        ),
        _create({**_HNSW, "fieldName": "nope"}, code=1100, says="index HNSW only supports vector data type"),
        _create({**_HNSW, "fieldName": "n"}, code=1100, says="index HNSW only supports vector data type"),
        _create({"fieldName": "n", "indexType": "Trie"}, code=1100, says="TRIE are only supported on varchar field"),
        Fact("indexes/create", {**_C, "indexParams": _HNSW}, 1801),
        _create({**_HNSW, "params": []}, code=1801),
        Fact("indexes/list", _C, data=[]),
    ],
    "scalars": [
        _CREATED,
        *(
            fact
            for field, kind, over in (("n", "STL_SORT", ""), ("word", "Trie", ""), ("word", "BITMAP", LITE))
            for fact in (
                _create({"fieldName": field, "indexName": field, "indexType": kind}, over=over),
                _describe(kind, "", name=field, over=over),
                _drop(field),
            )
        ),
    ],
    "one index for a field": [
        _CREATED,
        _create(_HNSW, {"fieldName": "nope", "indexName": "x"}, code=1100),
        Fact("indexes/list", _C, data=["v"]),
        _create(_HNSW),
        _create({**_HNSW, "indexName": ""}),
        *(
            _create({**_HNSW, **other}, code=65535, says="CreateIndex failed: ")
            for other in (
                {"params": {"M": "16", "efConstruction": "64"}},
                {"params": {"index_type": "HNSW", **_PARAMS}},
                {"params": {"M": 32, "efConstruction": 64}},
                {"metricType": "IP"},
                {"indexType": "FLAT", "params": {}},
                {"indexName": "w"},
            )
        ),
        _describe("HNSW", "L2", _TEXT),
        Fact("collections/load", _C),
        _drop(code=65535, says="index cannot be dropped, collection is loaded, please release it first"),
        _drop("nope"),
        Fact(
            "indexes/alter_properties",
            {**_C, "indexName": "v", "properties": {"M": 32}},
            1100,
            says="M is not a configable index property",
        ),
        Fact("indexes/drop_properties", {**_C, "indexName": "v", "propertyKeys": ["M"]}, 1100),
        Fact("collections/release", _C),
        _drop(),
        _GONE,
    ],
    "sparse vectors": [
        Fact(
            "collections/create",
            {**_C, "schema": {"fields": [*_VECTORS[:2], {"fieldName": "s", "dataType": "SparseFloatVector"}]}},
            over=LITE,
        ),
        *(
            _create({"fieldName": "s", "indexType": "SPARSE_INVERTED_INDEX", **metric}, code=1100, says=says, over=LITE)
            for metric, says in (
                ({}, "metric type not set for vector index"),
                ({"metricType": "L2"}, "only IP&BM25 is the supported metric type for sparse index"),
                ({"metricType": "BM25"}, "only BM25 Function output field support BM25 metric type"),
            )
        ),
        _create({"fieldName": "s"}, over=LITE),
        _describe("AUTOINDEX", "IP", name="s", over=LITE),
    ],
}
