"""What a schema may be by the rules of Milvus's proxy, in its words: they come before any engine is asked."""

from __future__ import annotations

import re

from airflow_vectordb.local.engine.model import CollectionSpec, FieldSpec, FunctionSpec
from airflow_vectordb.local.engine.names import check_field_name, check_name
from airflow_vectordb.local.errors import ApiError, invalid, unexpected

MOST_FIELDS = 64
MOST_CAPACITY = 4096
ELEMENTS = frozenset({"Bool", "Int8", "Int16", "Int32", "Int64", "Float", "Double", "VarChar"})
ISOLATION = "partitionkey.isolation"

_MOST_VECTORS = 10
_MOST_SHARDS = 16
_MOST_PARTITIONS = 1024
_MOST_DIM = 32768
_MOST_LENGTH = 65535
_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_TRUE = frozenset({"1", "t", "true"})
_FALSE = frozenset({"0", "f", "false"})


def check_schema(spec: CollectionSpec) -> None:
    """Refuse a collection that Milvus refuses whatever is behind it.

    :raises ApiError: mostly 65535; 1100, 1701, 105 and 107 where Milvus has a code of its own for it.
    """
    _check_functions(spec)
    if spec.shards > _MOST_SHARDS:
        raise unexpected(f"maximum shards's number should be limited to {_MOST_SHARDS}")
    if len(spec.fields) > MOST_FIELDS:
        raise unexpected(f"maximum field's number should be limited to {MOST_FIELDS}")
    if len(spec.vectors) > _MOST_VECTORS:
        raise unexpected(f"maximum vector field's number should be limited to {_MOST_VECTORS}")
    if not spec.vectors:
        raise invalid("schema does not contain vector field")
    check_name("collection name", spec.name)
    names = [entry.name for entry in spec.fields]
    for name in names:
        if names.count(name) > 1:
            raise unexpected(f"duplicated field name {name} found")
    _check_primary(spec)
    _check_partition_key(spec)
    check_isolation(spec, spec.properties)
    _check_clustering_key(spec)
    for entry in spec.fields:
        check_field(entry, spec.name)


def _check_primary(spec: CollectionSpec) -> None:
    found = [entry for entry in spec.fields if entry.is_primary]
    if any(entry.type not in ("Int64", "VarChar") for entry in found[:1]):
        raise unexpected("the data type of primary key should be Int64 or VarChar")
    if len(found) > 1:
        raise unexpected(f"there are more than one primary key, field name = {found[0].name}, {found[1].name}")
    if not found:
        raise unexpected("primary key is not specified")


def _check_type(entry: FieldSpec) -> None:
    if entry.type == "None":
        raise unexpected("data type None is not valid")
    if "String" in (entry.type, entry.element_type):
        raise unexpected("string data type not supported yet, please use VarChar type instead")
    if entry.type == "Array" and entry.element_type == "None":
        raise unexpected("element data type None is not valid")
    if entry.type == "Array" and entry.element_type not in ELEMENTS:
        raise unexpected(f"element type {entry.element_type} is not supported")


def _check_partition_key(spec: CollectionSpec) -> None:
    found = [entry for entry in spec.fields if entry.is_partition_key]
    if len(found) > 1:
        raise unexpected(f"there are more than one partition key, field name = {found[0].name}, {found[1].name}")
    for entry in found:
        if entry.is_primary:
            raise unexpected("the partition key field must not be primary field")
        if entry.nullable:
            raise invalid("partition key field not support nullable")
        if entry.type not in ("Int64", "VarChar"):
            raise unexpected("the data type of partition key should be Int64 or VarChar")
        if spec.partitions > _MOST_PARTITIONS:
            raise invalid(f"partition number ({spec.partitions}) exceeds max configuration ({_MOST_PARTITIONS})")


def check_isolation(spec: CollectionSpec, properties: dict[str, str]) -> bool:
    """Return whether properties ask for the isolation of partition keys.

    :raises ApiError: 105 for a collection that has none.
    """
    value = properties.get(ISOLATION, "false")
    if value.lower() not in _TRUE | _FALSE:
        raise unexpected(
            f'failed to parse partition key isolation: strconv.ParseBool: parsing "{value}": invalid syntax'
        )
    isolated = value.lower() in _TRUE
    if isolated and not spec.has_partition_key:
        why = "partition key isolation mode is enabled but no partition key field is set"
        raise illegal_schema(spec.name, f"{why}. Please set the partition key first")
    return isolated


def _check_clustering_key(spec: CollectionSpec) -> None:
    found = [entry for entry in spec.fields if entry.is_clustering_key]
    if any(entry.is_vector for entry in found):
        raise ApiError(107, f"vector clustering key not allowed[collection={spec.name}]")
    if len(found) > 1:
        raise illegal_schema(
            spec.name, f"there are more than one clustering key, field name = {found[0].name}, {found[1].name}"
        )


def illegal_schema(collection: str, why: str) -> ApiError:
    """105: the schema contradicts itself."""
    return ApiError(105, f"{why}: illegal collection schema[collection={collection}]")


def check_field(entry: FieldSpec, collection: str) -> None:
    """Refuse a field whose name or parameters Milvus refuses.

    :raises ApiError: 1701 for its name, 65535 for a parameter that is missing, no number or no size of a vector, 1100
        for a length.
    """
    check_field_name(entry.name)
    _check_type(entry)
    if entry.is_vector:
        _check_dimension(entry)
    if "VarChar" in (entry.type, entry.element_type):
        _check_length(entry, collection)
    if entry.type == "Array":
        _check_capacity(entry, collection)


def _check_dimension(entry: FieldSpec) -> None:
    given = entry.params.get("dim")
    dim = 0 if given is None else _number(given)
    if entry.type == "SparseFloatVector":
        if given is not None:
            raise unexpected(f"dim should not be specified for sparse vector field {entry.name}({entry.id})")
        return
    if given is None:
        raise unexpected(
            f"dimension is not defined in field type params of field {entry.name}, "
            "check type param `dim` for vector field"
        )
    if dim <= 1:
        raise unexpected(f"invalid dimension: {dim}. should be in range 2 ~ {_MOST_DIM}")
    if entry.type == "BinaryVector" and dim % 8:
        raise unexpected(
            f"invalid dimension: {dim} of field {entry.name}. binary vector dimension should be multiple of 8. "
        )
    kind, most = ("binary", _MOST_DIM * 8) if entry.type == "BinaryVector" else ("float", _MOST_DIM)
    if dim > most:
        raise unexpected(
            f"invalid dimension: {dim} of field {entry.name}. {kind} vector dimension should be in range 2 ~ {most}"
        )


def _check_length(entry: FieldSpec, collection: str) -> None:
    if "max_length" not in entry.params:
        raise unexpected(
            f"type param(max_length) should be specified for the field({entry.name}) of collection {collection}"
        )
    length = _number(entry.params["max_length"])
    if not 0 < length <= _MOST_LENGTH:
        raise invalid(
            f"the maximum length specified for the field({entry.name}) should be in (0, {_MOST_LENGTH}], "
            f"but got {length} instead"
        )


def _check_capacity(entry: FieldSpec, collection: str) -> None:
    given = entry.params.get("max_capacity")
    if given is None:
        raise unexpected(
            f"type param(max_capacity) should be specified for array field {entry.name} of collection {collection}"
        )
    if not is_integer(given):
        raise unexpected(f"the value for max_capacity of field {entry.name} must be an integer")
    if not 0 < int(given) <= MOST_CAPACITY:
        raise unexpected(f"the maximum capacity specified for a Array should be in (0, {MOST_CAPACITY}]")


def is_integer(text: str) -> bool:
    """Return whether Go reads a text as an integer of 64 bits."""
    # What is longer fits nowhere, and takes Python long to read.
    return bool(_INTEGER.fullmatch(text)) and len(text) <= 20 and -(2**63) <= int(text) < 2**63


def _number(text: str) -> int:
    if not is_integer(text):
        why = "value out of range" if _INTEGER.fullmatch(text) else "invalid syntax"
        raise unexpected(f'strconv.ParseInt: parsing "{text}": {why}')
    return int(text)


def _check_functions(spec: CollectionSpec) -> None:
    names: set[str] = set()
    outputs: set[str] = set()
    for function in spec.functions:
        _check_basics(function)
        if function.name in names:
            raise unexpected(f"duplicate function name: {function.name}")
        names.add(function.name)
        inputs = [_named(spec, name, "input") for name in function.inputs]
        if function.type == "BM25":
            _check_text(inputs)
        for name in function.outputs:
            _check_output(function, _named(spec, name, "output"))
            if name in outputs:
                raise unexpected(f"duplicate function output: function {function.name}, field {name}")
            outputs.add(name)


def _check_basics(function: FunctionSpec) -> None:
    if not function.name:
        raise unexpected("function name cannot be empty")
    for what, names in (("input", function.inputs), ("output", function.outputs)):
        if not names:
            raise unexpected(f"function {what} field names cannot be empty, function: {function.name}")
        if "" in names:
            raise unexpected(f"function {what} field name cannot be empty string, function: {function.name}")
        for name in names:
            if names.count(name) > 1:
                raise unexpected(
                    f"each function {what} field should be used exactly once in the same function, "
                    f"function: {function.name}, {what} field: {name}"
                )
            if what == "output" and name in function.inputs:
                raise unexpected(
                    "a single field cannot be both input and output in the same function, "
                    f"function: {function.name}, field: {name}"
                )
    if function.type == "BM25" and function.params:
        raise unexpected("BM25 function accepts no params")


def _named(spec: CollectionSpec, name: str, what: str) -> FieldSpec:
    entry = spec.field_named(name)
    if entry is None:
        raise unexpected(f"function {what} field not found: {name}")
    return entry


def _check_text(inputs: list[FieldSpec]) -> None:
    if len(inputs) != 1 or inputs[0].type not in ("VarChar", "Text"):
        raise unexpected(
            "BM25 function input field must be a VARCHAR/TEXT field, "
            f"got {len(inputs)} field with type {inputs[0].type}"
        )
    if inputs[0].params.get("enable_analyzer", "").lower() not in _TRUE:
        raise unexpected("BM25 function input field must set enable_analyzer to true")


def _check_output(function: FunctionSpec, entry: FieldSpec) -> None:
    for refused, what in (
        (entry.is_primary, "primary key"),
        (entry.is_partition_key or entry.is_clustering_key, "partition key or clustering key"),
        (entry.nullable, "nullable"),
    ):
        if refused:
            raise unexpected(f"function output field cannot be {what}: function {function.name}, field {entry.name}")
    if function.type != "BM25":
        return
    if len(function.outputs) != 1:
        raise unexpected(f"BM25 function only need 1 output field, but got {len(function.outputs)}")
    if entry.type != "SparseFloatVector":
        raise unexpected(f"BM25 function output field must be a SparseFloatVector field, but got {entry.type}")
