"""A collection's schema as a Milvus protobuf message, for engines that speak gRPC."""

from __future__ import annotations

from typing import Any

from airflow_vectordb.local.engine.messages import common_pb2, schema_pb2
from airflow_vectordb.local.engine.model import TYPE_NUMBERS, CollectionSpec, FieldSpec

__all__ = ["schema_message"]

_FUNCTION_NUMBERS = {"BM25": 1, "TextEmbedding": 2, "Rerank": 3}
_DEFAULT_SLOTS = {
    "Bool": "bool_data",
    "Int8": "int_data",
    "Int16": "int_data",
    "Int32": "int_data",
    "Int64": "long_data",
    "Float": "float_data",
    "Double": "double_data",
    "VarChar": "string_data",
}


def schema_message(spec: CollectionSpec, *, engine_makes_ids: bool) -> Any:
    """The ``CollectionSchema`` message of a collection.

    :param spec: the collection.
    :param engine_makes_ids: whether the engine is to make automatic ids; otherwise they come with the rows.
    """
    schema = schema_pb2.CollectionSchema(
        name=spec.name,
        description=spec.description,
        autoID=engine_makes_ids and spec.primary.auto_id,
        enable_dynamic_field=spec.dynamic,
    )
    schema.fields.extend(_field(entry, engine_makes_ids) for entry in spec.fields)
    for function in spec.functions:
        schema.functions.append(
            schema_pb2.FunctionSchema(
                name=function.name,
                type=_FUNCTION_NUMBERS[function.type],
                description=function.description,
                input_field_names=function.inputs,
                output_field_names=function.outputs,
                params=_pairs(function.params),
            )
        )
    return schema


def _pairs(params: dict[str, str]) -> list[Any]:
    return [common_pb2.KeyValuePair(key=key, value=value) for key, value in params.items()]


def _field(entry: FieldSpec, engine_makes_ids: bool) -> Any:
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
        type_params=_pairs(entry.params),
    )
    if entry.default is not None:
        setattr(message.default_value, _DEFAULT_SLOTS[entry.type], entry.default)
    return message
