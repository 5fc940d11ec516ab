"""collections/…: fields and functions, when a collection is created and afterwards"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_vectordb.local.body import optional, required
from airflow_vectordb.local.endpoints.bodies import CollectionNameReq, key_values
from airflow_vectordb.local.endpoints.table import RequestContext, endpoint
from airflow_vectordb.local.engine.literals import go_text, normalize
from airflow_vectordb.local.engine.model import SCALAR_SLOTS, TYPE_NUMBERS, FieldSpec, FunctionSpec
from airflow_vectordb.local.engine.schema import FUNCTION_NUMBERS
from airflow_vectordb.local.errors import ApiError, invalid


@dataclass(frozen=True, kw_only=True)
class FieldReq:
    go_name = "FieldSchema"

    field_name: str = required("fieldName", "The name of the field.")
    data_type: str = required("dataType", "Its type, case-sensitive: Int64, VarChar, FloatVector …")
    element_data_type: str = optional("elementDataType", "The type of an array's elements.")
    is_primary: bool = optional("isPrimary", "Whether it is the primary key.", False)
    is_partition_key: bool = optional("isPartitionKey", "Whether rows are spread over partitions by it.", False)
    is_clustering_key: bool = optional("isClusteringKey", "Whether rows are clustered by it.", False)
    element_type_params: dict[str, Any] = optional("elementTypeParams", "dim, max_length, max_capacity …", dict)
    nullable: bool = optional("nullable", "Whether a row may have no value.", False)
    default_value: Any = optional("defaultValue", "The value of a row that has none.", None)

    def spec(self, *, auto_id: bool = False) -> FieldSpec:
        """Return the field as engines know it.

        :param auto_id: whether keys are made by the server, where it is the primary one.
        :raises ApiError: 1100 for a type or default that cannot be.
        """
        _check_type("data type", self.data_type)
        element = self.element_data_type if self.data_type == "Array" else ""
        default = self._default()
        if self.data_type == "Array":
            _check_type("element data type", element)
        return FieldSpec(
            self.field_name,
            self.data_type,
            is_primary=self.is_primary,
            auto_id=self.is_primary and auto_id,
            is_partition_key=self.is_partition_key,
            is_clustering_key=self.is_clustering_key,
            nullable=self.nullable,
            element_type=element,
            default=default,
            params={key: _param(value) for key, value in self.element_type_params.items()},
        )

    def _default(self) -> Any:
        """Return the default value, of which Milvus reads all numbers as floats first."""
        value, slot = self.default_value, SCALAR_SLOTS.get(self.data_type)
        if value is None:
            return None
        if slot is None:
            why = f"default value of type {self.data_type} is not supported, field {self.field_name}"
            raise invalid(f"convert defaultValue fail, err:{why}")
        kind, wanted = slot.removesuffix("_data"), _DEFAULTS.get(slot, (int, float))
        if type(value) not in wanted:
            given = f'"{go_text(value)}"(type: {_GO_TYPES[type(value)]})'
            raise invalid(f"convert defaultValue fail, err:cannot use {given} as {kind} default value")
        return int(float(value)) if slot in ("int_data", "long_data") else value


_DEFAULTS: dict[str, tuple[type, ...]] = {"bool_data": (bool,), "string_data": (str,)}
_GO_TYPES = {
    str: "string",
    bool: "bool",
    int: "float64",
    float: "float64",
    list: "[]interface {}",
    dict: "map[string]interface {}",
}


def _check_type(what: str, name: str) -> None:
    # The last two are known, and refused as what they are.
    if name not in TYPE_NUMBERS and name not in ("None", "String"):
        raise ApiError(1100, f"invalid parameter, {what} {name} is invalid(case sensitive).")


def _param(value: Any) -> str:
    """Return a parameter of a field as Milvus keeps it; of JSON ``null`` it keeps the word."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "null" if value is None else normalize({"": value})[""]


@dataclass(frozen=True, kw_only=True)
class FunctionReq:
    go_name = "FunctionSchema"

    name: str = required("name", "The name of the function.")
    type: str = required("type", "BM25.")
    inputs: list[str] = required("inputFieldNames", "What it reads.")
    outputs: list[str] = required("outputFieldNames", "What it fills.")
    params: dict[str, Any] = optional("params", "Its parameters.", dict)
    description: str = optional("description", "What it is for.")

    def spec(self) -> FunctionSpec:
        """Return the function as engines know it.

        :raises ApiError: 1100 for a type that is not known.
        """
        if self.type not in FUNCTION_NUMBERS:
            raise invalid(f"Unsupported function type: {self.type}")
        return FunctionSpec(
            self.name, self.type, self.inputs, self.outputs, 0, self.description, normalize(self.params)
        )


@dataclass(frozen=True, kw_only=True)
class FieldParamsReq(CollectionNameReq):
    go_name = "CollectionFieldReqWithParams"

    field_name: str = required("fieldName", "The field.")
    params: dict[str, Any] = optional("fieldParams", "max_length, max_capacity, mmap.enabled.", dict)


@dataclass(frozen=True, kw_only=True)
class AddFieldReq(CollectionNameReq):
    go_name = "CollectionFieldReqWithSchema"

    schema: FieldReq = required("schema", "The new field.")


@dataclass(frozen=True, kw_only=True)
class AddFunctionReq(CollectionNameReq):
    function: FunctionReq = required("function", "The function.")


@dataclass(frozen=True, kw_only=True)
class AlterFunctionReq(AddFunctionReq):
    name: str = required("functionName", "The function that is changed.")


@dataclass(frozen=True, kw_only=True)
class DropFunctionReq(CollectionNameReq):
    name: str = required("functionName", "The function.")


@endpoint("collections/fields/alter_properties", FieldParamsReq)
def alter_field(context: RequestContext, request: FieldParamsReq) -> None:
    """Set properties of a field."""
    context.engine.schemas.alter_field(
        context.database, request.collection_name, request.field_name, normalize(request.params)
    )


@endpoint("collections/fields/add", AddFieldReq)
def add_field(context: RequestContext, request: AddFieldReq) -> None:
    """Add a field to a collection."""
    context.engine.schemas.add_field(context.database, request.collection_name, request.schema.spec())


@endpoint("collections/add_function", AddFunctionReq)
def add_function(context: RequestContext, request: AddFunctionReq) -> None:
    """Add a function to a collection (Milvus 3.0 and later)."""
    context.engine.schemas.add_function(context.database, request.collection_name, request.function.spec())


@endpoint("collections/alter_function", AlterFunctionReq)
def alter_function(context: RequestContext, request: AlterFunctionReq) -> None:
    """Change a function of a collection (Milvus 3.0 and later)."""
    context.engine.schemas.alter_function(
        context.database, request.collection_name, request.name, request.function.spec()
    )


@endpoint("collections/drop_function", DropFunctionReq)
def drop_function(context: RequestContext, request: DropFunctionReq) -> None:
    """Drop a function of a collection (Milvus 3.0 and later)."""
    context.engine.schemas.drop_function(context.database, request.collection_name, request.name)


def described_field(entry: FieldSpec) -> dict[str, Any]:
    """Return a field as collections/describe shows it."""
    described: dict[str, Any] = {
        "name": entry.name,
        "id": entry.id,
        "type": entry.type,
        "primaryKey": entry.is_primary,
        "partitionKey": entry.is_partition_key,
        "clusteringKey": entry.is_clustering_key,
        "autoId": entry.auto_id,
        "nullable": entry.nullable,
        "description": entry.description,
    }
    if entry.default is not None:
        slot = SCALAR_SLOTS.get(entry.type, "bytes_data").title().replace("_", "")
        described["defaultValue"] = {"Data": {slot: entry.default}}
    if entry.element_type:
        described["elementType"] = entry.element_type
    if entry.params:
        described["params"] = key_values(entry.params)
    if entry.is_function_output:
        described["isFunctionOutput"] = True
    return described


def described_function(function: FunctionSpec) -> dict[str, Any]:
    """Return a function as collections/describe shows it."""
    return {
        "name": function.name,
        "id": function.id,
        "description": function.description,
        "type": function.type,
        "inputFieldNames": function.inputs,
        "outputFieldNames": function.outputs,
        "params": key_values(function.params),
    }
