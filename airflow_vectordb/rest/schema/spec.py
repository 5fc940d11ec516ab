"""A requested schema, and the request's body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_vectordb.rest.collections import Collection, Field, Function
from airflow_vectordb.rest.http.call import build_body
from airflow_vectordb.rest.index.types import FIELD_KINDS, SCALAR

#: Types of an array's elements.
ELEMENT_TYPES = ("Bool", "Int8", "Int16", "Int32", "Int64", "Float", "Double", "VarChar")
DENSE_VECTORS = ("FloatVector", "Float16Vector", "BFloat16Vector", "Int8Vector", "BinaryVector")
#: Types as the API spells them. Newer servers may have others.
DATA_TYPES = tuple(name for name in FIELD_KINDS if name not in ("String", "Text"))

#: Flags of fields -> as the API spells them.
FLAGS = {
    "is_primary": "isPrimary",
    "is_partition_key": "isPartitionKey",
    "is_clustering_key": "isClusteringKey",
    "nullable": "nullable",
}


def is_vector(data_type: str) -> bool:
    """Return whether a data type is a vector type."""
    return FIELD_KINDS.get(data_type, SCALAR) != SCALAR


@dataclass(frozen=True)
class FieldSpec:
    """A requested field, with ``params`` such as ``dim``, ``max_length`` and ``max_capacity``."""

    name: str
    type: str
    is_primary: bool = False
    is_partition_key: bool = False
    is_clustering_key: bool = False
    nullable: bool = False
    auto_id: bool = False  #: Requested for the whole schema.
    element_type: str = ""  #: Empty: it is no array.
    params: Mapping[str, Any] = field(default_factory=dict)
    default: Any = None
    description: str = ""

    def __str__(self) -> str:
        """Return the type for messages: ``VarChar(512)``, ``FloatVector(768)``, ``Array<VarChar(20)>(100)``."""

        def with_size(name: str, key: str) -> str:
            return f"{name}({self.params[key]})" if self.params.get(key) is not None else name

        if self.type == "Array":
            return with_size(f"Array<{with_size(self.element_type or '?', 'max_length')}>", "max_capacity")
        return with_size(self.type, "dim" if is_vector(self.type) else "max_length")

    def body(self) -> dict[str, Any]:
        """Build the field for a request."""
        return build_body(
            fieldName=self.name,
            dataType=self.type,
            elementDataType=self.element_type or None,
            elementTypeParams=dict(self.params) or None,
            defaultValue=self.default,
            description=self.description or None,
            **{key: True for name, key in FLAGS.items() if getattr(self, name)},
        )


@dataclass(frozen=True)
class FunctionSpec:
    """A requested function."""

    name: str
    type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""

    def body(self) -> dict[str, Any]:
        """Build the function for a request."""
        return {
            "name": self.name,
            "type": self.type,
            "description": self.description,
            "inputFieldNames": list(self.inputs),
            "outputFieldNames": list(self.outputs),
            "params": dict(self.params),
        }


@dataclass(frozen=True)
class SchemaSpec:
    """A requested schema, created and checked by ``parsing.parse_schema``."""

    fields: tuple[FieldSpec, ...]
    functions: tuple[FunctionSpec, ...] = ()
    auto_id: bool = False
    enable_dynamic_field: bool = False
    description: str = ""
    #: What a newer server may know, as it was given.
    extra: Mapping[str, Any] = field(default_factory=dict)
    #: What is sent although it is not known here, one sentence each.
    warnings: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def body(self) -> dict[str, Any]:
        """Build the ``schema`` of ``collections/create``."""
        return build_body(
            autoID=self.auto_id,
            enableDynamicField=self.enable_dynamic_field,
            fields=[item.body() for item in self.fields],
            functions=[function.body() for function in self.functions] or None,
            description=self.description or None,
            **self.extra,
        )

    def as_collection(self, name: str) -> Collection:
        """Return the collection as a server will describe it, for checks of index parameters."""
        return Collection(
            name,
            tuple(Field(item.name, item.type, item.is_primary, item.params) for item in self.fields),
            tuple(Function(function.name, function.type, function.outputs) for function in self.functions),
            enable_dynamic_field=self.enable_dynamic_field,
        )
