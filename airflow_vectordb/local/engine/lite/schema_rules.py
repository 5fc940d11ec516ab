"""What fields a collection over Milvus Lite may have: the rules of Milvus's coordinator, and this server's.

Those of Milvus's proxy come first, for every engine; see :mod:`airflow_vectordb.local.engine.schema_rules`.
"""

from __future__ import annotations

import dataclasses

from airflow_vectordb.local.engine.model import CollectionSpec, FieldSpec
from airflow_vectordb.local.engine.schema_rules import ELEMENTS, MOST_CAPACITY, MOST_FIELDS, is_integer
from airflow_vectordb.local.engine.schema_rules import check_field as check_of_proxy
from airflow_vectordb.local.errors import invalid, not_expected

MMAP = "mmap.enabled"

_LARGEST = {f"Int{bits}": 2 ** (bits - 1) - 1 for bits in (8, 16, 32, 64)} | {"Float": 3.4028234663852886e38}
_TYPES = ELEMENTS | {"Array", "JSON", "Geometry", "Timestamptz", "FloatVector", "SparseFloatVector"}
_SYSTEM_FIELDS = ("RowID", "Timestamp", "$meta")


def check_schema(spec: CollectionSpec) -> CollectionSpec:
    """Refuse what Milvus's coordinator refuses in a schema and what this server cannot do.

    :return: the schema with numbered fields.
    """
    for entry in spec.fields:
        _check(entry)
    if any(entry.name in _SYSTEM_FIELDS for entry in spec.fields):
        why = f"schema contains system field: {', '.join(_SYSTEM_FIELDS)}"
        raise not_expected(why, "schema don't contains system field", "contains")
    for function in spec.functions:
        if function.type != "BM25":
            raise invalid(f"this local server has no {function.type} function; it has BM25")
    outputs = {name for function in spec.functions for name in function.outputs}
    fields = [
        dataclasses.replace(entry, id=100 + i, is_function_output=entry.name in outputs)
        for i, entry in enumerate(spec.fields)
    ]
    functions = [dataclasses.replace(function, id=100 + i) for i, function in enumerate(spec.functions)]
    return dataclasses.replace(spec, fields=fields, functions=functions)


def check_field(entry: FieldSpec, collection: str) -> None:
    """Refuse a field that Milvus or this server cannot have.

    :raises ApiError: as Milvus's proxy; 1100 for the rest.
    """
    check_of_proxy(entry, collection)
    _check(entry)


def _check(entry: FieldSpec) -> None:
    what = f"type:{entry.type}, name:{entry.name}"
    if entry.is_vector and entry.nullable:
        # The engine takes them, and gives zeros back.
        raise invalid(f"vector type not support null, {what}")
    if entry.is_primary and entry.nullable:
        raise invalid(f"primary field not support null, {what}")
    if entry.default is not None:
        _check_default(entry, what)
    if entry.type not in _TYPES:
        raise invalid(f"this local server's engine, Milvus Lite, has no fields of type {entry.type} ({entry.name})")


def _check_default(entry: FieldSpec, what: str) -> None:
    value = entry.default
    if entry.is_primary:
        raise invalid(f"primary field not support default_value, {what}")
    largest = _LARGEST.get(entry.type)
    if largest is not None and not -largest - 1 <= value <= largest:
        raise invalid(f"default value out of range: {value} is no {entry.type} (field {entry.name})")
    if entry.type == "VarChar" and len(value.encode()) > int(entry.params["max_length"]):
        length = f"the length ({len(value.encode())}) of string exceeds max length ({entry.params['max_length']})"
        raise not_expected("string length exceeds max length", "valid length string", length)


def check_added(spec: CollectionSpec, field: FieldSpec) -> None:
    """Refuse a field that cannot be added to a collection.

    :raises ApiError: 1100, or what :func:`check_field` raises.
    """
    if len(spec.fields) >= MOST_FIELDS:
        raise invalid(f"The number of fields has reached the maximum value {MOST_FIELDS}")
    if field.is_clustering_key and spec.has_clustering_key:
        raise invalid(f"already has another clutering key field, field name: {field.name}")
    for refused, why in (
        (field.is_vector, "not support to add vector field"),
        (field.name in _SYSTEM_FIELDS, "not support to add system field"),
        (field.is_primary, "not support to add pk field"),
        (not field.nullable, "added field must be nullable, please check it"),
        (field.is_partition_key, "not support to add partition key field"),
    ):
        if refused:
            raise invalid(f"{why}, field name = {field.name}")
    check_field(field, spec.name)
    if spec.field_named(field.name) is not None:
        raise invalid(f"duplicate field name: {field.name}")


def check_params(entry: FieldSpec, params: dict[str, str]) -> None:
    """Refuse parameters of a field that cannot be altered."""
    for key, value in params.items():
        if key == "max_length" and "VarChar" not in (entry.type, entry.element_type):
            raise invalid(f"{entry.type} can not modify the maxlength for non-string types, field {entry.name}")
        if key == "max_capacity" and entry.type != "Array":
            raise invalid(f"{entry.type} can not modify the maxcapacity for non-array types, field {entry.name}")
        if key not in ("max_length", "max_capacity", MMAP):
            raise invalid(f"{key} does not allow update in collection field param")
        # Both are 65535 where a collection is created.
        if key == "max_length" and not is_integer(value):
            raise invalid(f"{key} should be an integer, but got string")
        if key == "max_capacity" and not (is_integer(value) and 0 < int(value) <= MOST_CAPACITY):
            raise invalid(f"the maximum capacity specified for a Array should be in (0, {MOST_CAPACITY}]")
