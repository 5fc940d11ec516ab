"""What fields a collection over Milvus Lite may have: Milvus's rules, and this server's."""

from __future__ import annotations

import dataclasses

from airflow_vectordb.local.engine.model import CollectionSpec, FieldSpec
from airflow_vectordb.local.engine.names import check_field_name
from airflow_vectordb.local.errors import invalid

MMAP = "mmap.enabled"

_MOST_FIELDS = 64
_ELEMENTS = frozenset({"Bool", "Int8", "Int16", "Int32", "Int64", "Float", "Double", "VarChar"})
_LARGEST = {f"Int{bits}": 2 ** (bits - 1) - 1 for bits in (8, 16, 32, 64)} | {"Float": 3.4028234663852886e38}
_TYPES = _ELEMENTS | {"Array", "JSON", "Geometry", "Timestamptz", "FloatVector", "SparseFloatVector"}


def check_schema(spec: CollectionSpec) -> CollectionSpec:
    """Refuse what Milvus refuses in a schema and what this server cannot do.

    :return: the schema with numbered fields.
    """
    names = [entry.name for entry in spec.fields]
    for name in names:
        check_field_name(name)
        if names.count(name) > 1:
            raise invalid(f"duplicated field name {name}")
    primaries = [entry for entry in spec.fields if entry.is_primary]
    if len(primaries) != 1:
        raise invalid("primary key is not specified" if not primaries else "there are more than one primary key")
    if primaries[0].type not in ("Int64", "VarChar"):
        raise invalid("the data type of primary key should be Int64 or VarChar")
    if primaries[0].nullable or primaries[0].default is not None:
        raise invalid("primary field not support null or default_value")
    if not spec.vectors:
        raise invalid("schema does not contain vector field")
    if sum(entry.is_partition_key for entry in spec.fields) > 1:
        raise invalid("there are more than one partition key")
    for entry in spec.fields:
        check_field(entry)
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


def check_field(entry: FieldSpec) -> None:
    """Refuse a field that Milvus or this server cannot have.

    :raises ApiError: 1100.
    """
    if entry.type not in _TYPES:
        raise invalid(f"this local server's engine, Milvus Lite, has no fields of type {entry.type} ({entry.name})")
    if entry.auto_id and not entry.is_primary:
        raise invalid(f"only primary field can speficy AutoID with true, field name = {entry.name}")
    if entry.is_vector and entry.nullable:
        # It takes them, and gives zeros back.
        raise invalid(f"this local server's engine, Milvus Lite, has no nullable vectors ({entry.name})")
    if entry.is_clustering_key:
        raise invalid(f"this local server has no clustering keys ({entry.name})")
    if entry.type == "FloatVector" and not 2 <= _number(entry, "dim") <= 32768:
        raise invalid(f"invalid dimension: {entry.dim} of field {entry.name}. it should be in range 2 to 32768")
    if entry.type == "SparseFloatVector" and "dim" in entry.params:
        raise invalid(f"dim should not be specified for sparse vector field {entry.name}")
    if "VarChar" in (entry.type, entry.element_type) and not 1 <= _number(entry, "max_length") <= 65535:
        raise invalid(
            f"the maximum length specified for the field({entry.name}) should be in (0, 65535], "
            f"but got {entry.params['max_length']} instead"
        )
    if entry.type == "Array":
        if entry.element_type not in _ELEMENTS:
            raise invalid(f"element data type {entry.element_type or 'None'} is not supported, field {entry.name}")
        if not 1 <= _number(entry, "max_capacity") <= 4096:
            raise invalid(f"the maximum capacity specified for a Array shoule be in (0, 4096], field {entry.name}")
    _check_default(entry)


def _check_default(entry: FieldSpec) -> None:
    value = entry.default
    if entry.type in _LARGEST and value is not None and not -_LARGEST[entry.type] - 1 <= value <= _LARGEST[entry.type]:
        raise invalid(f"the default value of field {entry.name} is out of the range of {entry.type}")
    if entry.type == "VarChar" and value is not None and len(value.encode()) > _number(entry, "max_length"):
        raise invalid(
            f"the length ({len(value.encode())}) of the default value of field {entry.name} "
            f"exceeds max length ({entry.params['max_length']})"
        )


def _number(entry: FieldSpec, key: str) -> int:
    if key not in entry.params:
        raise invalid(f"type param({key}) should be specified for the field({entry.name}) of type {entry.type}")
    try:
        return int(entry.params[key])
    except ValueError:
        raise invalid(f"invalid {key} of field {entry.name}: {entry.params[key]}") from None


def check_added(spec: CollectionSpec, field: FieldSpec) -> None:
    """Refuse a field that cannot be added to a collection.

    :raises ApiError: 1100, or 1701 for its name.
    """
    check_field_name(field.name)
    if spec.field_named(field.name) is not None:
        raise invalid(f"duplicate field name: {field.name}")
    if len(spec.fields) >= _MOST_FIELDS:
        raise invalid(f"The number of fields has reached the maximum value {_MOST_FIELDS}")
    for refused, what in (
        (field.is_primary, "pk field"),
        (field.is_vector, "vector field"),
        (field.is_partition_key, "partition key field"),
    ):
        if refused:
            raise invalid(f"not support to add {what}, field name = {field.name}")
    if not field.nullable:
        raise invalid(f"added field must be nullable, please check it, field name = {field.name}")
    check_field(field)


def check_params(entry: FieldSpec, params: dict[str, str]) -> None:
    """Refuse parameters of a field that cannot be altered."""
    for key in params:
        if key == "max_length" and "VarChar" not in (entry.type, entry.element_type):
            raise invalid(f"can not modify the maxlength for non-string types: field {entry.name} is {entry.type}")
        if key == "max_capacity" and entry.type != "Array":
            raise invalid(f"can not modify the maxcapacity for non-array types: field {entry.name} is {entry.type}")
        if key not in ("max_length", "max_capacity", MMAP):
            raise invalid(f"{key} does not allow update in collection field param")
