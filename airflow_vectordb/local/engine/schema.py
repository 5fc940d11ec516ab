"""A collection's schema as a Milvus protobuf message and back, for engines that speak gRPC."""

from __future__ import annotations

from typing import Any

from airflow_vectordb.local.engine.messages import schema_pb2
from airflow_vectordb.local.engine.model import SCALAR_SLOTS, TYPE_NUMBERS, CollectionSpec, FieldSpec, FunctionSpec
from airflow_vectordb.local.engine.requests import pairs, unpaired
from airflow_vectordb.local.errors import invalid

FUNCTION_NUMBERS = {name: number for name, number in schema_pb2.FunctionType.items() if number}
_TYPE_NAMES = {number: name for name, number in TYPE_NUMBERS.items()}
_FUNCTION_NAMES = {number: name for name, number in FUNCTION_NUMBERS.items()}


def schema_message(spec: CollectionSpec, *, engine_makes_ids: bool) -> Any:
    """Return the ``CollectionSchema`` message of a collection.

    :param engine_makes_ids: whether the engine is to make automatic ids; otherwise they come with the rows.
    """
    schema = schema_pb2.CollectionSchema(
        name=spec.name,
        description=spec.description,
        autoID=engine_makes_ids and spec.primary.auto_id,
        enable_dynamic_field=spec.dynamic,
    )
    schema.fields.extend(field_message(entry, engine_makes_ids=engine_makes_ids) for entry in spec.fields)
    schema.functions.extend(function_message(function) for function in spec.functions)
    return schema


def function_message(function: FunctionSpec) -> Any:
    """Return the ``FunctionSchema`` message of a function.

    :raises ApiError: 1100 for a type that is not known.
    """
    if function.type not in FUNCTION_NUMBERS:
        raise invalid(f"unsupported function type: {function.type} (function {function.name})")
    return schema_pb2.FunctionSchema(
        name=function.name,
        type=FUNCTION_NUMBERS[function.type],
        description=function.description,
        input_field_names=function.inputs,
        output_field_names=function.outputs,
        params=pairs(function.params),
    )


def field_message(entry: FieldSpec, *, engine_makes_ids: bool) -> Any:
    """Return the ``FieldSchema`` message of a field.

    :raises ApiError: 1100 for a default that a field of its type cannot have.
    """
    message = schema_pb2.FieldSchema(
        name=entry.name,
        description=entry.description,
        data_type=TYPE_NUMBERS[entry.type],
        is_primary_key=entry.is_primary,
        autoID=engine_makes_ids and entry.auto_id,
        is_partition_key=entry.is_partition_key,
        is_clustering_key=entry.is_clustering_key,
        is_function_output=entry.is_function_output,
        nullable=entry.nullable,
        element_type=TYPE_NUMBERS.get(entry.element_type, 0),
        type_params=pairs(entry.params),
    )
    if entry.default is not None:
        if entry.type not in SCALAR_SLOTS:
            raise invalid(f"type not support default_value, type:{entry.type}, name:{entry.name}")
        setattr(message.default_value, SCALAR_SLOTS[entry.type], entry.default)
    return message


def read_schema(schema: Any, **more: Any) -> CollectionSpec:
    """Return the collection that a ``CollectionSchema`` message describes.

    :param more: what a :class:`CollectionSpec` has besides fields, functions and description.
    """
    return CollectionSpec(
        fields=[_read_field(entry, schema.autoID) for entry in schema.fields if not entry.is_dynamic],
        functions=[
            FunctionSpec(
                function.name,
                _FUNCTION_NAMES.get(function.type, str(function.type)),
                list(function.input_field_names),
                list(function.output_field_names),
                function.id,
                function.description,
                unpaired(function.params),
            )
            for function in schema.functions
        ],
        dynamic=schema.enable_dynamic_field,
        description=schema.description,
        **more,
    )


def _read_field(message: Any, auto_id: bool) -> FieldSpec:
    slot = message.default_value.WhichOneof("data")
    return FieldSpec(
        message.name,
        _TYPE_NAMES.get(message.data_type, str(message.data_type)),
        id=message.fieldID,
        is_primary=message.is_primary_key,
        auto_id=message.autoID or (message.is_primary_key and auto_id),
        is_partition_key=message.is_partition_key,
        is_clustering_key=message.is_clustering_key,
        is_function_output=message.is_function_output,
        nullable=message.nullable,
        element_type=_TYPE_NAMES.get(message.element_type, ""),
        description=message.description,
        default=None if slot is None else getattr(message.default_value, slot),
        params=unpaired(message.type_params),
    )
