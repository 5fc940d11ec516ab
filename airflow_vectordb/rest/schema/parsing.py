"""Parsing of users' schemas, as far as possible, with all problems reported together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from airflow_vectordb.rest.errors import InvalidParametersError
from airflow_vectordb.rest.lists import as_mapping
from airflow_vectordb.rest.notation import UnreadableTextError, read_given
from airflow_vectordb.rest.reading import Parsed, Reader, describe_given
from airflow_vectordb.rest.schema.rules import DEFAULTS, FIELD_PARAMS, FUNCTION_TYPES, check_field, check_schema
from airflow_vectordb.rest.schema.spec import DATA_TYPES, FLAGS, FieldSpec, FunctionSpec, SchemaSpec, is_vector
from airflow_vectordb.rest.spelling import describe_value, is_later, near_miss, normalize_key, show
from airflow_vectordb.rest.values import BOOL


def _keys(*names: str, **others: str) -> dict[str, str]:
    """Return names of the API by normalized keys, ``others`` being those of pymilvus and of descriptions."""
    return {**{normalize_key(name): name for name in names}, **others}


#: Fields of arrays of structs, sent unchanged.
_PASSED_ON = ("structFields", "structArrayFields")
# The server ignores unknown keys, so misspelt ones must not be sent.
_SCHEMA_KEYS = _keys("autoID", "enableDynamicField", "fields", "functions", "description", "name", *_PASSED_ON)
FIELD_KEYS = _keys(
    *("fieldName", "dataType", "elementDataType", "elementTypeParams", "defaultValue", "description", "autoID"),
    *FLAGS.values(),
    name="fieldName",
    type="dataType",
    dtype="dataType",
    elementtype="elementDataType",
    params="elementTypeParams",
    typeparams="elementTypeParams",
    primarykey="isPrimary",
    partitionkey="isPartitionKey",
    clusteringkey="isClusteringKey",
)
_FUNCTION_KEYS = _keys(
    *("name", "type", "inputFieldNames", "outputFieldNames", "params", "description"),
    functiontype="type",
    inputfields="inputFieldNames",
    outputfields="outputFieldNames",
)
#: Further keys of the server's descriptions.
_DESCRIPTION_KEYS = _keys(
    *("aliases", "collectionID", "collectionName", "consistencyLevel", "indexes", "load"),
    *("partitionsNum", "properties", "shardsNum"),
)
#: Other names of types: pymilvus's, Python's, and those of older servers, without underscores.
_OTHER_TYPES = {"sparsevector": "SparseFloatVector", "string": "VarChar", "int": "Int64", "integer": "Int64"}
#: Words for parameters in other places, without underscores.
_MEANT = {"dimension": "dim", "dimensions": "dim", "length": "max_length", "capacity": "max_capacity"}
_PARAM_NAMES = {normalize_key(name): name for name in FIELD_PARAMS} | {"mmapenabled": "mmap.enabled"}


@dataclass
class ParsedSchema(Parsed):
    """The result of parsing a schema; None: nothing could be made of it."""

    spec: SchemaSpec | None = None


def parse_schema(raw: Any, *, allow_unknown: bool = False) -> SchemaSpec:
    """Parse and check a schema, or raise an InvalidParametersError with everything that is wrong."""
    parsed = read_schema(raw, allow_unknown=allow_unknown)
    if parsed.problems or parsed.spec is None:
        raise InvalidParametersError(parsed.problems, "schema")
    return parsed.spec


def parse_field(raw: Any) -> FieldSpec:
    """Parse and check a field, in any spelling of a schema's, or raise one error with everything that is wrong."""
    parsed = ParsedSchema()
    given = as_mapping("field", raw, '{"fieldName": "n", "dataType": "Int64", "nullable": true}')
    field = _field(given, "field", Reader(parsed))
    if parsed.problems or field is None:
        raise InvalidParametersError(parsed.problems, "field")
    return field


def read_schema(raw: Any, *, allow_unknown: bool = False) -> ParsedSchema:
    """
    Parse a schema as far as possible, and check it.

    :param raw: a mapping with ``fields`` in the spelling of the API, of pymilvus or of a description by the server; a
        text with that in JSON or YAML; a whole request body with a ``schema`` in it; or pymilvus's ``CollectionSchema``
    :param allow_unknown: send also what looks like a misspelt type or parameter
    """
    parsed = ParsedSchema()
    reader = Reader(parsed, allow_unknown=allow_unknown)
    try:
        parsed.spec = _read(raw, reader)
    except RecursionError:
        reader.refuse("schema is nested too deeply")
    return parsed


def read_quick(dimension: Any) -> ParsedSchema:
    """Return the schema of the server's quick setup: ``id``, ``vector``, and dynamic fields."""
    vector = {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": dimension}}
    key = {"fieldName": "id", "dataType": "Int64", "isPrimary": True}
    parsed = read_schema({"enableDynamicField": True, "fields": [key, vector]})
    parsed.problems = [problem.replace("vector: dim", "dimension") for problem in parsed.problems]
    return parsed


def _read(raw: Any, reader: Reader) -> SchemaSpec | None:
    given = _keys_of(raw, reader)
    if given is None:
        return None
    items, functions = (_list(given, key, reader) for key in ("fields", "functions"))
    if not items and not reader.parsed.problems:
        reader.refuse("schema has no fields")
    fields = [found for n, item in enumerate(items) if (found := _field(item, f"fields[{n}]", reader))]
    spec = SchemaSpec(
        tuple(fields),
        tuple(one for n, item in enumerate(functions) if (one := _function(item, f"functions[{n}]", reader))),
        # The server reads it only next to the fields.
        _flag(given, "autoID", reader) or any(field.auto_id for field in fields),
        _flag(given, "enableDynamicField", reader),
        str(given.get("description") or ""),
        {name: given[name] for name in _PASSED_ON if name in given},
        tuple(reader.warnings),
    )
    if len(fields) == len(items):
        for problem in check_schema(spec):
            reader.refuse(problem, malformed=False)
    return spec


def _keys_of(raw: Any, reader: Reader) -> dict[str, Any] | None:
    try:
        raw = read_given(raw, "schema")
    except UnreadableTextError as error:
        reader.refuse(str(error))
        return None
    if not isinstance(raw, Mapping) and callable(getattr(raw, "to_dict", None)):
        raw = dict(raw.to_dict())  # pymilvus's CollectionSchema
        raw.pop("enable_namespace", None)
    if isinstance(raw, list | tuple):
        raw = {"fields": raw}
    if not isinstance(raw, Mapping):
        reader.refuse(f"schema must be a mapping with fields, or JSON or YAML of it, not {describe_given(raw)}")
        return None
    if isinstance(described := raw.get("raw"), Mapping) and "fields" in described:
        raw = described
    keys = {normalize_key(str(key)) for key in raw}
    within = reader.within("schema")
    if "schema" in keys and "fields" not in keys:
        return _keys_of(within.unwrap(raw, "schema", advice="; indexes go into index_params"), reader)
    return within.rename(raw, _SCHEMA_KEYS, ignored=_DESCRIPTION_KEYS if "collectionname" in keys else ())


def _list(given: Mapping[str, Any], key: str, reader: Reader) -> Sequence[Any]:
    value = given.get(key)
    if value is None:
        return []
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence):
        reader.refuse(f"{key} must be a list, not {describe_value(value)}", malformed=not is_later(value))
        return []
    return value


def _is_mapping(raw: Any, what: str, reader: Reader) -> TypeGuard[Mapping[Any, Any]]:
    if isinstance(raw, Mapping):
        return True
    reader.refuse(f"{what} must be a mapping, not {describe_value(raw)}", malformed=not is_later(raw))
    return False


def _field(raw: Any, place: str, reader: Reader) -> FieldSpec | None:
    if not _is_mapping(raw, place, reader):
        return None
    # As in pymilvus's add_field, parameters may be next to the type.
    names = {key: normalize_key(str(key)) for key in raw}
    beside = {key for key, name in names.items() if name in _MEANT or (_param_name(key) and name not in FIELD_KEYS)}
    named = next((raw[key] for key, name in names.items() if FIELD_KEYS.get(name) == "fieldName"), None)
    reader = reader.within(named if isinstance(named, str) and named.strip() else place)
    given = reader.rename(
        {key: value for key, value in raw.items() if key not in beside},
        FIELD_KEYS,
        ignored=("id", "isfunctionoutput"),
        params=FIELD_PARAMS,
    )
    name = reader.text(given.get("fieldName"), "fieldName", required=True)
    data_type = _type(given, "dataType", DATA_TYPES, reader, required=True)
    element = given.get("elementDataType")
    if getattr(element, "name", element) in ("", "None", "NONE"):  # as in descriptions of other types
        given["elementDataType"] = None
    element = _type(given, "elementDataType", DATA_TYPES, reader)
    params = _params(given.get("elementTypeParams"), {key: raw[key] for key in beside}, reader)
    flags: dict[str, Any] = {name: _flag(given, key, reader) for name, key in FLAGS.items()}
    flags["auto_id"] = _flag(given, "autoID", reader)
    if not name or not data_type:
        return None
    default = _plain_default(given.get("defaultValue"))
    if default is not None and data_type in DEFAULTS:
        default = reader.value(default, "defaultValue", DEFAULTS[data_type])
    spec = FieldSpec(
        name,
        data_type,
        element_type=element or "",
        params=params,
        default=default,
        description=str(given.get("description") or ""),
        **flags,
    )
    if spec.nullable and is_vector(spec.type):
        reader.warnings.append(f"{name}: nullable vectors need a Milvus newer than 2.6")
    for problem in check_field(spec, reader.tried):
        reader.refuse(problem, malformed=False)
    return spec


def _params(raw: Any, beside: Mapping[str, Any], reader: Reader) -> dict[str, Any]:
    params: dict[str, Any] = {}
    raw = _from_pairs(raw)
    if raw is not None and not isinstance(raw, str | Mapping):
        reader.tried |= set(FIELD_PARAMS)
    for original, value in {**reader.mapping(raw, "elementTypeParams"), **beside}.items():
        name = _param_name(original) or str(original)
        if name not in FIELD_PARAMS:
            meant = _MEANT.get(normalize_key(name)) or near_miss(name, FIELD_PARAMS)
            reader.tried |= {meant} if meant else set()
            if not reader.unknown(f"unknown parameter {show(name)}", meant, malformed=True):
                continue
        if value is not None and (sent := reader.value(value, name, FIELD_PARAMS.get(name))) is not None:
            params[name] = sent
    return params


def _function(raw: Any, place: str, reader: Reader) -> FunctionSpec | None:
    if not _is_mapping(raw, place, reader):
        return None
    reader = reader.within(place)
    given = reader.rename(raw, _FUNCTION_KEYS, ignored=("id",))
    name = reader.text(given.get("name"), "name", required=True)
    kind = _type(given, "type", FUNCTION_TYPES, reader, required=True)
    given = {
        key: [value] if key.endswith("Names") and isinstance(value, str) else value for key, value in given.items()
    }
    inputs, outputs = (tuple(map(str, _list(given, key, reader))) for key in ("inputFieldNames", "outputFieldNames"))
    params = reader.mapping(_from_pairs(given.get("params")), "params")
    if not name or not kind:
        return None
    return FunctionSpec(name, kind, inputs, outputs, params, str(given.get("description") or ""))


def _type(
    given: Mapping[str, Any], key: str, known: Sequence[str], reader: Reader, *, required: bool = False
) -> str | None:
    text = reader.text(given.get(key), key, required=required)
    name = text and text.rpartition(".")[2]  # of `DataType.INT64`, as the API's reference and pymilvus write it
    return reader.word(name and _OTHER_TYPES.get(normalize_key(name), name), key, known, normalize_key)


def _flag(given: Mapping[str, Any], key: str, reader: Reader) -> bool:
    value = given.get(key)
    return value is not None and reader.value(value, key, BOOL) is True


def _param_name(key: Any) -> str | None:
    return _PARAM_NAMES.get(normalize_key(str(key)))


def _from_pairs(raw: Any) -> Any:
    """Return parameters as a mapping; the server describes them as a list of pairs."""
    if not isinstance(raw, list):
        return raw
    return {pair["key"]: pair.get("value") for pair in raw if isinstance(pair, Mapping) and "key" in pair}


def _plain_default(value: Any) -> Any:
    """Return a default value without the wrapper of Milvus (``{"Data": {"LongData": 5}}``) or pymilvus."""
    if hasattr(value, "WhichOneof"):
        return getattr(value, value.WhichOneof("data"), None)
    data = value.get("Data") if isinstance(value, Mapping) and set(value) == {"Data"} else None
    return next(iter(data.values()), None) if isinstance(data, Mapping) else value
