"""What an index may be: types, metrics and parameters that fit a field, as Milvus checks them.

And which of them Milvus Lite can build. What it cannot build is refused by name, never built as something else.
"""

from __future__ import annotations

from typing import Any

from airflow_vectordb.local.engine.model import CollectionSpec, FieldSpec
from airflow_vectordb.local.errors import ApiError, invalid

_DENSE_METRICS = ("L2", "IP", "COSINE")
_BINARY_METRICS = ("HAMMING", "JACCARD", "SUBSTRUCTURE", "SUPERSTRUCTURE", "MHJACCARD")

_DENSE = frozenset({"FLAT", "IVF_FLAT", "IVF_SQ8", "IVF_PQ", "IVF_RABITQ", "HNSW", "HNSW_SQ", "HNSW_PQ", "HNSW_PRQ"})
_DENSE |= {"SCANN", "DISKANN", "AISAQ", "GPU_CAGRA", "GPU_IVF_FLAT", "GPU_IVF_PQ", "GPU_BRUTE_FORCE"}
_BINARY = frozenset({"BIN_FLAT", "BIN_IVF_FLAT", "MINHASH_LSH"})
_SPARSE = frozenset({"SPARSE_INVERTED_INDEX", "SPARSE_WAND"})
_NUMBERS = frozenset({"Int8", "Int16", "Int32", "Int64", "Float", "Double", "Timestamptz"})
_SCALAR: dict[str, frozenset[str]] = {
    "INVERTED": _NUMBERS | {"Bool", "VarChar", "Array", "JSON"},
    "STL_SORT": _NUMBERS | {"VarChar"},
    "Trie": frozenset({"VarChar"}),
    "BITMAP": frozenset({"Bool", "Int8", "Int16", "Int32", "Int64", "VarChar", "Array"}),
    "NGRAM": frozenset({"VarChar", "JSON"}),
    "RTREE": frozenset({"Geometry"}),
}
_VECTOR_INDEXES = {
    "FloatVector": _DENSE,
    "Float16Vector": _DENSE,
    "BFloat16Vector": _DENSE,
    "Int8Vector": _DENSE,
    "BinaryVector": _BINARY,
    "SparseFloatVector": _SPARSE,
}
_KNOWN = {*_DENSE, *_BINARY, *_SPARSE, *_SCALAR, "AUTOINDEX"}

_LITE = frozenset({"AUTOINDEX", "FLAT", "IVF_FLAT", "IVF_SQ8", "HNSW", "HNSW_SQ", "SPARSE_INVERTED_INDEX", "INVERTED"})
_LITE_SCALARS = frozenset({"Bool", "Int8", "Int16", "Int32", "Int64", "Float", "Double", "VarChar", "Timestamptz"})

# The ranges that Milvus names in its answers.
_RANGES = {"M": (2, 2048), "efConstruction": (1, 2**31 - 1), "nlist": (1, 65536)}
# They choose between algorithms that give the same answer, or allow a less exact one; Milvus Lite has one, and exact.
_TUNING = frozenset({"drop_ratio_build", "inverted_index_algo"})


def check(spec: CollectionSpec, field: FieldSpec, params: dict[str, str]) -> dict[str, str]:
    """Check what an index is to be, and fill in the defaults.

    :param params: all strings, with ``index_type`` and ``metric_type`` where they were given.
    :return: the same with ``index_type`` and, on vectors, ``metric_type`` in it, in this order.
    :raises ApiError: 1100 for what no Milvus would build, and for what this server cannot.
    """
    rest = {key: value for key, value in params.items() if key not in ("index_type", "metric_type")}
    index_type = params.get("index_type") or "AUTOINDEX"
    if index_type not in _KNOWN:
        raise invalid(f"invalid index type: {index_type}")
    if index_type == "AUTOINDEX" and rest:
        raise invalid(f"only metric type can be passed when use AutoIndex, got {', '.join(sorted(rest))}")
    checked = {"index_type": index_type}
    if field.is_vector:
        if index_type != "AUTOINDEX" and index_type not in _VECTOR_INDEXES[field.type]:
            raise invalid(f"data type {field.type} can't build with this index {index_type}")
        checked["metric_type"] = _metric(spec, field, params.get("metric_type", ""))
    else:
        fits = _SCALAR.get(index_type, frozenset())
        if index_type != "AUTOINDEX" and field.type not in fits:
            raise invalid(f"index {index_type} cannot be built on field {field.name} of type {field.type}")
        if params.get("metric_type"):
            checked["metric_type"] = params["metric_type"]
    _check_ranges(rest)
    _check_lite(field, index_type, rest)
    return checked | rest


def default_metric(spec: CollectionSpec, field: FieldSpec) -> str:
    """Return the metric of an index that is created without one; empty where there is none."""
    return _metrics(spec, field)[0] if field.is_vector else ""


def _metrics(spec: CollectionSpec, field: FieldSpec) -> tuple[str, ...]:
    """Return the metrics that a vector field can have, the default first."""
    if field.type == "SparseFloatVector":
        return ("BM25",) if spec.is_bm25_output(field.name) else ("IP",)
    return _BINARY_METRICS if field.type == "BinaryVector" else ("COSINE", *_DENSE_METRICS)


def _metric(spec: CollectionSpec, field: FieldSpec, asked: str) -> str:
    allowed = _metrics(spec, field)
    if not asked:
        return allowed[0]
    if asked not in allowed:
        names = " ".join(dict.fromkeys(sorted(allowed)))
        raise invalid(
            f"metric type {asked} not found or not supported for the {field.type} field {field.name}, "
            f"supported: [{names}]"
        )
    return asked


def _check_ranges(params: dict[str, str]) -> None:
    for key, (low, high) in _RANGES.items():
        if key not in params:
            continue
        try:
            value = int(params[key])
        except ValueError:
            raise invalid(f"param '{key}' ({params[key]}) should be an integer") from None
        if not low <= value <= high:
            raise invalid(f"Out of range in json: param '{key}' ({value}) should be in range [{low}, {high}]")


def _check_lite(field: FieldSpec, index_type: str, params: dict[str, str]) -> None:
    if index_type not in _LITE:
        raise _cannot(f"has no {index_type} index")
    if not field.is_vector and field.type not in _LITE_SCALARS:
        raise _cannot(f"cannot index a field of type {field.type}")
    if "json_path" in params or "json_cast_type" in params:
        raise _cannot("cannot index a path in a JSON field")


def _cannot(what: str) -> ApiError:
    names = ", ".join(sorted(_LITE))
    return invalid(f"this local server's engine, Milvus Lite, {what}; a Milvus cluster may. It has {names}")


def engine_params(field: FieldSpec, params: dict[str, str]) -> tuple[str, str, dict[str, Any]]:
    """Return index type, metric (empty for scalars) and build parameters for Milvus Lite."""
    index_type = params["index_type"]
    if index_type == "AUTOINDEX" and not field.is_vector:
        index_type = "INVERTED"
    if index_type == "AUTOINDEX" and field.type == "SparseFloatVector":
        index_type = "SPARSE_INVERTED_INDEX"
    build = {
        key: value for key, value in params.items() if key not in ("index_type", "metric_type") and key not in _TUNING
    }
    return index_type, params["metric_type"] if field.is_vector else "", build
