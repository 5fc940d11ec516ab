"""Milvus's rules for schemas, as far as they can be checked without a server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from airflow_vectordb.rest.schema import spec
from airflow_vectordb.rest.spelling import NAME, NAME_RULE, article, show, suggest
from airflow_vectordb.rest.values import BOOL, Kind

#: Parameters of fields -> what their value is; None: anything.
FIELD_PARAMS: Mapping[str, Kind | None] = {
    "dim": Kind("an integer from 2 to 32,768", int, 2, 32768),
    "max_length": Kind("an integer from 1 to 65,535", int, 1, 65535),
    "max_capacity": Kind("an integer from 1 to 4,096", int, 1, 4096),
    "enable_analyzer": BOOL,
    "enable_match": BOOL,
    "analyzer_params": None,
    "multi_analyzer_params": None,
    "mmap.enabled": BOOL,
}
FUNCTION_TYPES = ("BM25", "TextEmbedding", "Rerank", "MinHash")
_ANALYSIS = ("enable_analyzer", "enable_match", "analyzer_params")
_KEY_TYPES = ("Int64", "VarChar")
_MOST_FIELDS = 64
#: Types of fields -> what their default value is.
DEFAULTS: Mapping[str, Kind] = {
    **{f"Int{n}": Kind(f"an Int{n}", int, -(2 ** (n - 1)), 2 ** (n - 1) - 1) for n in (8, 16, 32, 64)},
    **dict.fromkeys(("Float", "Double"), Kind("a number", float)),
    "Bool": BOOL,
}


def check_field(field: spec.FieldSpec, tried: Collection[str] = ()) -> Iterable[str]:
    """Return what is wrong with a field; parameters that were ``tried``, but cannot be used, are not missing."""
    if not NAME.fullmatch(field.name):
        yield NAME_RULE
    needed = []
    if field.type in spec.DENSE_VECTORS:
        needed.append("dim")
    if "VarChar" in (field.type, field.element_type):
        needed.append("max_length")
    if field.type == "Array":
        needed.append("max_capacity")
        if not field.element_type:
            yield "an Array needs elementDataType"
        elif field.element_type in spec.DATA_TYPES and field.element_type not in spec.ELEMENT_TYPES:
            yield f"elements cannot be {field.element_type}"
    elif field.element_type:
        yield f"elementDataType is for arrays, but this is {article(field.type)}"
    for name in needed:
        if name not in field.params and name not in tried:
            yield f"{article(str(field))} needs {name}".replace("an Array<?>", "an Array")
    fitting = {*needed, *(_ANALYSIS if field.type in ("VarChar", "Text") else ())}
    for name in ("dim", "max_length", "max_capacity", *_ANALYSIS):
        if name in field.params and name not in fitting and field.type in spec.DATA_TYPES:
            yield f"{name} is not for {article(field.type)}"
    if field.type == "BinaryVector" and (dim := field.params.get("dim", 8)) % 8:
        yield f"the dim of a BinaryVector is a multiple of 8, not {dim}"
    if field.params.get("enable_match") and not field.params.get("enable_analyzer"):
        yield "enable_match needs enable_analyzer"
    for is_one, what in ((field.is_primary, "a primary key"), (field.is_partition_key, "a partition key")):
        if is_one and field.type not in _KEY_TYPES:
            yield f"{what} is an Int64 or a VarChar, not {article(field.type)}"
        if is_one and field.nullable:
            yield f"{what} cannot be nullable"
    if field.auto_id and not field.is_primary:
        yield "autoID is for the primary key"
    if field.is_primary and field.is_partition_key:
        yield "a primary key cannot be the partition key"
    if field.default is not None:
        yield from _problems_of_default(field)


def _problems_of_default(field: spec.FieldSpec) -> Iterable[str]:
    if field.is_primary or field.type in ("Array", "JSON") or spec.is_vector(field.type):
        yield f"{'a primary key' if field.is_primary else article(field.type)} cannot have a default value"
    elif field.type == "VarChar":
        if not isinstance(field.default, str):
            yield f"defaultValue must be a string, not {show(field.default)}"
        elif (size := len(field.default.encode())) > (most := field.params.get("max_length", size)):
            yield f"defaultValue has {size:,} bytes, but max_length is {most:,}"


def check_schema(schema: spec.SchemaSpec) -> Iterable[str]:
    """Return what is wrong with the fields and functions together."""
    fields = schema.fields
    yield from _repeated((field.name for field in fields), "{}: {} fields have this name")
    keys = [field.name for field in fields if field.is_primary]
    if len(keys) != 1:
        there = f"{', '.join(keys)} have isPrimary" if keys else "set isPrimary of a field"
        yield f"a schema needs one primary key: {there}"
    for flag, what in (("is_partition_key", "partition key"), ("is_clustering_key", "clustering key")):
        found = [field.name for field in fields if getattr(field, flag)]
        if len(found) > 1:
            yield f"a schema has at most one {what}, not several ({', '.join(found)})"
    may_be_vectors = [field for field in fields if spec.is_vector(field.type) or field.type not in spec.DATA_TYPES]
    if fields and not may_be_vectors and not schema.extra:
        yield "a schema needs a vector field"
    if len(fields) > _MOST_FIELDS:
        yield f"a schema has at most {_MOST_FIELDS} fields, but this one has {len(fields)}"
    yield from _problems_of_functions(schema)


def _repeated(names: Iterable[str], words: str) -> Iterable[str]:
    return (words.format(name, times) for name, times in Counter(names).items() if times > 1)


def _problems_of_functions(schema: spec.SchemaSpec) -> Iterable[str]:
    fields = {field.name: field for field in schema.fields}
    filled = [name for function in schema.functions for name in function.outputs]
    yield from _repeated((function.name for function in schema.functions), "function {}: {} functions have this name")
    yield from _repeated(filled, "{}: {} functions fill it")
    for name in dict.fromkeys(filled):
        if name in fields and (fields[name].is_primary or fields[name].is_partition_key or fields[name].nullable):
            yield f"{name}: a function fills it, so it can be neither a key nor nullable"
    for function in schema.functions:
        where = f"function {function.name}"
        for words, given in (("inputFieldNames", function.inputs), ("outputFieldNames", function.outputs)):
            if not given and not (words == "outputFieldNames" and function.type == "Rerank"):
                yield f"{where}: {words} is missing"
            for name in given:
                if name not in fields:
                    yield f"{where}: {words} has no field {name!r}{suggest(name, fields)}"
        if function.type == "BM25":
            yield from _problems_of_bm25(function, fields, where)


def _problems_of_bm25(function: spec.FunctionSpec, fields: Mapping[str, spec.FieldSpec], where: str) -> Iterable[str]:
    for what, given in (("input", function.inputs), ("output", function.outputs)):
        if len(given) > 1:
            yield f"{where}: BM25 has one {what} field, not {len(given)}"
    for field in (fields[name] for name in function.inputs if name in fields):
        if field.type != "VarChar":
            yield f"{where}: BM25 reads a VarChar, but {field.name!r} is {article(field.type)}"
        elif field.params.get("enable_analyzer") is not True:
            yield f"{where}: its input {field.name!r} needs enable_analyzer: true"
    for field in (fields[name] for name in function.outputs if name in fields):
        if field.type != "SparseFloatVector":
            yield f"{where}: BM25 fills a SparseFloatVector, but {field.name!r} is {article(field.type)}"
