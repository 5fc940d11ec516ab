"""What an index may be, as Milvus's proxy checks it: names, types, metrics, parameters; and what Milvus Lite builds.

An index is kept as its owner described it: ``index_type`` and ``metric_type``, where they stood beside the parameters,
and what stood in ``params`` as one JSON text. What is built follows from that: ``params`` wins.
"""

from __future__ import annotations

import json
from typing import Any

from airflow_vectordb.local.engine.literals import json_text
from airflow_vectordb.local.engine.model import CollectionSpec, FieldSpec
from airflow_vectordb.local.errors import ApiError, invalid, unexpected

MMAP = "mmap.enabled"
OFFSET_CACHE = "indexoffsetcache.enabled"
_PROPERTIES = frozenset({MMAP, OFFSET_CACHE, "warmup"})

_AUTOINDEX = "AUTOINDEX"
_BOOLEANS = frozenset({"1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"})

_DENSE_METRICS = ("COSINE", "IP", "L2")
_BINARY_METRICS = ("HAMMING", "JACCARD", "SUBSTRUCTURE", "SUPERSTRUCTURE", "MHJACCARD")

_DENSE = frozenset({"FLAT", "IVF_FLAT", "IVF_SQ8", "IVF_PQ", "IVF_RABITQ", "HNSW", "HNSW_SQ", "HNSW_PQ", "HNSW_PRQ"})
_DENSE |= {"SCANN", "DISKANN", "AISAQ", "GPU_CAGRA", "GPU_IVF_FLAT", "GPU_IVF_PQ", "GPU_BRUTE_FORCE"}
_BINARY = frozenset({"BIN_FLAT", "BIN_IVF_FLAT", "MINHASH_LSH"})
_SPARSE = frozenset({"SPARSE_INVERTED_INDEX", "SPARSE_WAND"})
_NUMBERS = frozenset({"Int8", "Int16", "Int32", "Int64", "Float", "Double", "Timestamptz"})
_SCALAR: dict[str, tuple[frozenset[str], str]] = {
    "INVERTED": (_NUMBERS | {"Bool", "VarChar", "Array", "JSON"}, "INVERTED are not supported on {type} field"),
    "STL_SORT": (_NUMBERS | {"VarChar"}, "STL_SORT are only supported on numeric, varchar or timestamptz field"),
    "Trie": (frozenset({"VarChar"}), "TRIE are only supported on varchar field"),
    "BITMAP": (
        frozenset({"Bool", "Int8", "Int16", "Int32", "Int64", "VarChar", "Array"}),
        "bitmap index are only supported on bool, int, string and array field",
    ),
    "NGRAM": (frozenset({"VarChar", "JSON"}), "ngram index can only be created on VARCHAR or JSON field"),
    "RTREE": (frozenset({"Geometry"}), "RTREE index can only be built on geometry field"),
}
_VECTOR_INDEXES = {
    "FloatVector": _DENSE,
    "Float16Vector": _DENSE,
    "BFloat16Vector": _DENSE,
    "Int8Vector": _DENSE,
    "BinaryVector": _BINARY,
    "SparseFloatVector": _SPARSE,
}
_KNOWN = {*_DENSE, *_BINARY, *_SPARSE, *_SCALAR, _AUTOINDEX}

_LITE = frozenset({_AUTOINDEX, "FLAT", "IVF_FLAT", "IVF_SQ8", "HNSW", "HNSW_SQ", "SPARSE_INVERTED_INDEX", "INVERTED"})
# On scalars they give the same answers as INVERTED, which is built in their place.
_AS_INVERTED = frozenset({"STL_SORT", "Trie", "BITMAP"})
_LITE_SCALARS = frozenset({"Bool", "Int8", "Int16", "Int32", "Int64", "Float", "Double", "VarChar", "Timestamptz"})

_RANGES = {"M": (2, 2048), "efConstruction": (1, 2**31 - 1), "nlist": (1, 65536)}
# They choose between algorithms that give the same answer, or allow a less exact one; Milvus Lite has one, and exact.
_TUNING = frozenset({"drop_ratio_build", "inverted_index_algo"})


def described(index_type: str, metric_type: str, params: dict[str, Any]) -> dict[str, str]:
    """Return an index as it is kept: what a request says of it, without what it leaves out."""
    nested = params.get("index_type", "")
    kind = index_type or (nested if isinstance(nested, str) else json_text(nested))
    found = {"index_type": kind, "metric_type": metric_type, "params": json_text(params) if params else ""}
    return {key: value for key, value in found.items() if value}


def effective(index: dict[str, str]) -> dict[str, str]:
    """Return what an index is built with: ``params``, all values strings, and what stands beside it."""
    beside = {key: value for key, value in index.items() if key != "params"}
    nested = json.loads(index.get("params") or "{}")
    return beside | {key: value if isinstance(value, str) else json_text(value) for key, value in nested.items()}


def indexed_field(spec: CollectionSpec, name: str) -> FieldSpec:
    """Return the field that an index is to be on; of dynamic fields, it is a path in the field that holds them all.

    :raises ApiError: 65535 when there is none.
    """
    field = spec.field_named(name)
    if field is not None:
        return field
    if not spec.dynamic:
        raise unexpected(f"cannot create index on non-exist field: {name}")
    return FieldSpec(name, "JSON")


def check(spec: CollectionSpec, field: FieldSpec, index: dict[str, str], *, strict: bool = True) -> dict[str, str]:
    """Check what an index is to be, as Milvus does before it asks what builds it.

    :param index: from :func:`described`.
    :param strict: refuse types that are not known here; otherwise they are left to the Milvus that builds them.
    :return: the index as Milvus keeps and describes it.
    :raises ApiError: when no Milvus would build it.
    """
    wanted = effective(index)
    kind = wanted.get("index_type", "")
    if kind:
        _check_mmap(wanted)
        if kind not in _KNOWN and strict:
            raise ApiError(1100, f"invalid parameter[expected=valid index][actual=invalid index type: {kind}]")
    if not field.is_vector:
        _check_scalar(field, kind, wanted)
        return index
    if kind in ("", _AUTOINDEX):
        rest = sorted(wanted.keys() - {"index_type", "metric_type"})
        if rest:
            raise unexpected(f"only metric type can be passed when use AutoIndex, got {', '.join(rest)}")
        metric = wanted.get("metric_type") or _metrics(spec, field)[0]
        _check_metric(spec, field, metric)
        return {"index_type": _AUTOINDEX, "metric_type": metric}
    metric = wanted.get("metric_type", "")
    if not metric and spec.is_bm25_output(field.name):
        metric = "BM25"
        index = {**index, "metric_type": metric}
    _check_metric(spec, field, metric)
    if kind in _KNOWN and kind not in _VECTOR_INDEXES[field.type]:
        raise _invalid_params(f"data type {field.type} can't build with this index {kind}")
    return index


def check_properties(properties: dict[str, str], drop: list[str]) -> None:
    """Refuse what cannot be altered of an index that exists."""
    for key in sorted({*properties, *drop} - _PROPERTIES):
        raise invalid(f"{key} is not a configable index property")
    _check_mmap(properties)
    if not properties and not drop:
        raise unexpected("nothing to alter: give the properties to set, or the keys of those to drop")


def _check_mmap(params: dict[str, str]) -> None:
    value = params.get(MMAP, "true")
    if value not in _BOOLEANS:
        raise invalid(f"invalid mmap type params: invalid {MMAP} value: {value}, expected: true, false")


def _metrics(spec: CollectionSpec, field: FieldSpec) -> tuple[str, ...]:
    """Return the metrics that a vector field can have, that of AUTOINDEX first."""
    if field.type == "SparseFloatVector":
        return ("BM25",) if spec.is_bm25_output(field.name) else ("IP",)
    return _BINARY_METRICS if field.type == "BinaryVector" else _DENSE_METRICS


def _check_metric(spec: CollectionSpec, field: FieldSpec, metric: str) -> None:
    if not metric:
        raise _invalid_params("metric type not set for vector index")
    if metric in _metrics(spec, field):
        return
    if spec.is_bm25_output(field.name):
        raise _invalid_params(f"index metric type of BM25 function output field must be BM25, got {metric}")
    if field.type != "SparseFloatVector":
        kind = "binary" if field.type == "BinaryVector" else "float"
        raise _invalid_params(f"{kind} vector index does not support metric type: {metric}")
    if metric == "BM25":
        raise _invalid_params("only BM25 Function output field support BM25 metric type")
    raise _invalid_params(f"only IP&BM25 is the supported metric type for sparse index, got {metric}")


def _check_scalar(field: FieldSpec, kind: str, params: dict[str, str]) -> None:
    if kind in _KNOWN - {*_SCALAR, _AUTOINDEX}:
        raise _invalid_params(f"index {kind} only supports vector data type, not {field.type} ({field.name})")
    fits, why = _SCALAR.get(kind, (None, ""))
    if fits is not None and field.type not in fits:
        raise _invalid_params(why.format(type=field.type))
    if field.type == "JSON" and "json_cast_type" not in params:
        raise _invalid_params("json index must specify cast type: missing parameter[missing_param=json_cast_type]")


def _invalid_params(detail: str) -> ApiError:
    expected = "[expected=valid index params][actual=invalid index params]"
    return ApiError(1100, f"{detail}: invalid parameter{expected}")


# --- Milvus Lite ---


def check_buildable(field: FieldSpec, index: dict[str, str]) -> None:
    """Refuse an index that Milvus Lite cannot build: by name, rather than build it as something else.

    :param index: from :func:`check`.
    """
    wanted = effective(index)
    kind = wanted.get("index_type", _AUTOINDEX)
    for key, (low, high) in _RANGES.items():
        value = wanted.get(key, "")
        if key in wanted and not (value.isdecimal() and len(value) < 12 and low <= int(value) <= high):
            raise unexpected(f"{key} out of range: [{low}, {high}], got {value:.60}")
    if kind not in _LITE | _AS_INVERTED:
        raise _cannot(f"has no {kind} index")
    if not field.is_vector and field.type not in _LITE_SCALARS:
        raise _cannot(f"cannot index a field of type {field.type}")


def _cannot(what: str) -> ApiError:
    names = ", ".join(sorted(_LITE | _AS_INVERTED))
    return invalid(f"this local server's engine, Milvus Lite, {what}; a Milvus cluster may. It has {names}")


def engine_params(field: FieldSpec, index: dict[str, str]) -> tuple[str, str, dict[str, Any]]:
    """Return index type, metric (empty for scalars) and build parameters for Milvus Lite."""
    wanted = effective(index)
    kind = wanted.get("index_type", _AUTOINDEX)
    if not field.is_vector and kind in {_AUTOINDEX, *_AS_INVERTED}:
        return "INVERTED", "", {}
    if kind == _AUTOINDEX and field.type == "SparseFloatVector":
        kind = "SPARSE_INVERTED_INDEX"
    beside = {"index_type", "metric_type", *_PROPERTIES, *_TUNING}
    build = {key: value for key, value in wanted.items() if key not in beside}
    return kind, wanted["metric_type"] if field.is_vector else "", build
