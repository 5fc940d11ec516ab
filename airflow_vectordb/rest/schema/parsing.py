"""Schemas as users write them: read as far as possible, with everything that is wrong reported together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_vectordb.rest.errors import InvalidParametersError
from airflow_vectordb.rest.notation import SWITCH, Parsed, UnreadableTextError, read_text
from airflow_vectordb.rest.schema.keys import (
    DESCRIBED_FIELD_KEYS,
    DESCRIPTION_KEYS,
    FIELD_KEYS,
    FUNCTION_KEYS,
    SCHEMA_KEYS,
)
from airflow_vectordb.rest.schema.rules import FIELD_PARAMS, FUNCTION_TYPES, check_field, check_schema
from airflow_vectordb.rest.schema.spec import DATA_TYPES, ELEMENT_TYPES, FieldSpec, FunctionSpec, SchemaSpec
from airflow_vectordb.rest.spelling import (
    describe_value,
    has_template,
    is_later,
    is_nothing,
    near_miss,
    normalize_key,
    show,
    suggest,
)

#: Fields of arrays of structs: sent as they are.
_PASSED_ON = ("structFields", "structArrayFields")
_ENVELOPE = {"schema": "schema", "collectionname": "collectionName", "dbname": "dbName"}
_TYPES = {normalize_key(name): name for name in DATA_TYPES}
_FLAGS = ("isPrimary", "autoID", "isPartitionKey", "isClusteringKey", "nullable", "enableDynamicField")


@dataclass
class ParsedSchema(Parsed):
    """
    What was parsed of a user's schema.

    :param spec: the schema; None: nothing could be made of it
    """

    spec: SchemaSpec | None = None


def parse_schema(raw: Any, *, allow_unknown: bool = False) -> SchemaSpec:
    """
    Read and check a schema.

    :raises InvalidParametersError: with everything that is wrong
    """
    parsed = read_schema(raw, allow_unknown=allow_unknown)
    if parsed.problems or parsed.spec is None:
        raise InvalidParametersError(parsed.problems, "schema")
    return parsed.spec


def read_schema(raw: Any, *, allow_unknown: bool = False) -> ParsedSchema:
    """
    Read a schema as far as possible, and check it.

    :param raw: a mapping with ``fields`` in the spelling of the API, of pymilvus or of a description by the server; a
        text with that in JSON or YAML; a whole request body with a ``schema`` in it; or pymilvus's ``CollectionSchema``
    :param allow_unknown: send also what looks like a misspelt type or parameter
    """
    parser = _Parser(allow_unknown)
    try:
        parser.parse(raw)
    except RecursionError:
        parser.refuse("schema is nested too deeply")
    return parser.parsed


def read_quick(dimension: Any) -> ParsedSchema:
    """Read the schema that the server's quick setup makes: ``id``, ``vector``, and whatever else a row has."""
    vector = {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": dimension}}
    key = {"fieldName": "id", "dataType": "Int64", "isPrimary": True}
    return read_schema({"enableDynamicField": True, "fields": [key, vector]})


class _Parser:
    def __init__(self, allow_unknown: bool) -> None:
        self.parsed = ParsedSchema()
        self.refuse = self.parsed.refuse
        self._allow_unknown = allow_unknown
        self._warnings: list[str] = []

    def parse(self, raw: Any) -> None:
        given = self._schema_keys(self._mapping_of(raw))
        if given is None:
            return
        fields = [self._field(item, number) for number, item in enumerate(self._list(given.get("fields"), "fields"))]
        if not given.get("fields") and not self.parsed.problems:
            self.refuse("schema has no fields")
        functions = [self._function(item, n) for n, item in enumerate(self._list(given.get("functions"), "functions"))]
        flags = {name: self._flag(given.get(name), name) for name in ("autoID", "enableDynamicField")}
        known = [one for one in fields if one is not None]
        # The server reads it beside the fields only.
        auto_id = flags["autoID"] or any(automatic for _, automatic in known)
        for one, automatic in known:
            if automatic and not one.is_primary:
                self.refuse(f"{one.name}: autoID is for the primary key", malformed=False)
        spec = SchemaSpec(
            tuple(one for one, _ in known),
            tuple(function for function in functions if function is not None),
            auto_id,
            flags["enableDynamicField"],
            str(given.get("description") or ""),
            {name: given[name] for name in _PASSED_ON if name in given},
        )
        if len(known) == len(fields):
            for problem in check_schema(spec):
                self.refuse(problem, malformed=False)
        self.parsed.spec = SchemaSpec(**{**vars(spec), "warnings": tuple(self._warnings)})

    def _mapping_of(self, raw: Any) -> Mapping[str, Any] | None:
        if isinstance(raw, str):
            try:
                raw = read_text(raw, "schema") if raw.strip() else None
            except UnreadableTextError as error:
                self.refuse(str(error))
                return None
            if raw is None or (isinstance(raw, str) and is_nothing(raw)):
                self.refuse("schema is empty: the template or file rendered to nothing")
                return None
        elif not isinstance(raw, Mapping) and callable(getattr(raw, "to_dict", None)):
            raw = dict(raw.to_dict())  # pymilvus's CollectionSchema
            raw.pop("enable_namespace", None)
        if isinstance(raw, list | tuple):
            raw = {"fields": raw}
        if not isinstance(raw, Mapping):
            self.refuse(f"schema must be a mapping with fields, or JSON or YAML of it, not {describe_value(raw)}")
            return None
        described = raw.get("raw")
        return described if isinstance(described, Mapping) and "fields" in described else raw

    def _schema_keys(self, raw: Mapping[str, Any] | None) -> dict[str, Any] | None:
        if raw is None:
            return None
        keys = {normalize_key(str(key)): key for key in raw}
        if "schema" in keys and "fields" not in keys:
            for key, original in keys.items():
                if key not in _ENVELOPE:
                    hint = "; give it as index_params" if key == "indexparams" else suggest(str(original), _ENVELOPE)
                    self.refuse(f"a request body is taken for its schema: what is {show(original)}?{hint}")
            self.parsed.envelope = {
                name: str(raw[keys[key]]) for key, name in _ENVELOPE.items() if key in keys and key != "schema"
            }
            return self._schema_keys(self._mapping_of(raw[keys["schema"]]))
        passed_on = {normalize_key(name): name for name in _PASSED_ON}
        is_description = "collectionname" in keys
        return self._rename(
            raw, {**SCHEMA_KEYS, **passed_on}, "schema", ignored=DESCRIPTION_KEYS if is_description else frozenset()
        )

    def _rename(
        self,
        raw: Mapping[str, Any],
        known: Mapping[str, str],
        where: str,
        *,
        ignored: Iterable[str] = (),
        params: Iterable[str] = (),
    ) -> dict[str, Any]:
        given: dict[str, Any] = {}
        for original, value in raw.items():
            key = normalize_key(str(original))
            name = known.get(key)
            if name is None:
                if key not in ignored:
                    names = [*dict.fromkeys(known.values()), *params]
                    self.refuse(f"{where}: unknown key {show(original)}{suggest(str(original), names)}")
            elif name in given and given[name] != value:
                self.refuse(f"{where}: {name} is given twice, as {show(original)} too")
            else:
                given[name] = value
        return given

    def _field(self, raw: Any, number: int) -> tuple[FieldSpec, bool] | None:
        where = f"fields[{number}]"
        if not isinstance(raw, Mapping):
            self.refuse(f"{where} must be a mapping, not {describe_value(raw)}", malformed=not is_later(raw))
            return None
        keys = {normalize_key(str(key)) for key in raw}
        # As pymilvus's add_field has them, parameters may stand beside the type.
        beside = {
            key: value
            for key, value in raw.items()
            if ((name := _param_name(key)) and name not in FIELD_KEYS) or normalize_key(str(key)) in _MEANT
        }
        named = next((raw[key] for key in raw if FIELD_KEYS.get(normalize_key(str(key))) == "fieldName"), None)
        where = named if isinstance(named, str) and named.strip() else where
        is_description = "primarykey" in keys and "name" in keys
        given = self._rename(
            {key: value for key, value in raw.items() if key not in beside},
            DESCRIBED_FIELD_KEYS if is_description else FIELD_KEYS,
            where,
            ignored=DESCRIPTION_KEYS if is_description else ("isfunctionoutput",),
            params=FIELD_PARAMS,
        )
        name = self._text(given.get("fieldName"), f"{where}: fieldName", required=True)
        data_type = self._type(given.get("dataType"), f"{where}: dataType", DATA_TYPES, required=True)
        element = self._type(given.get("elementDataType"), f"{where}: elementDataType", ELEMENT_TYPES)
        params, refused = self._params(given.get("elementTypeParams"), beside, where)
        flags = {flag: self._flag(given.get(flag), f"{where}: {flag}") for flag in _FLAGS}
        if not name or not data_type:
            return None
        spec = FieldSpec(
            name,
            data_type,
            flags["isPrimary"],
            flags["isPartitionKey"],
            flags["isClusteringKey"],
            flags["nullable"],
            element or "",
            params,
            _plain_default(given.get("defaultValue")),
            str(given.get("description") or ""),
        )
        unknown = [str(key) for key in raw if not _param_name(key) and normalize_key(str(key)) not in FIELD_KEYS]
        refused |= {meant for key in unknown if (meant := near_miss(key, FIELD_PARAMS))}
        problems, warnings = check_field(spec, refused)
        self._warnings += warnings
        for problem in problems:
            self.refuse(problem, malformed=False)
        return spec, flags["autoID"]

    def _params(self, raw: Any, beside: Mapping[str, Any], where: str) -> tuple[dict[str, Any], set[str]]:
        """Return the parameters, and the names of those that are given, but cannot be used."""
        raw = _from_pairs(raw)
        params: dict[str, Any] = {}
        refused: set[str] = set()
        if raw is not None and not isinstance(raw, Mapping):
            self.refuse(f"{where}: elementTypeParams must be a mapping, not {describe_value(raw)}", malformed=False)
            raw, refused = {}, set(FIELD_PARAMS)
        for original, value in {**(raw or {}), **beside}.items():
            name = _param_name(original)
            if name is None:
                meant = _MEANT.get(normalize_key(str(original))) or near_miss(str(original), FIELD_PARAMS)
                if meant and not self._allow_unknown:
                    refused.add(meant)
                    self.refuse(f"{where}: unknown parameter {show(original)}; did you mean {meant!r}? {SWITCH}")
                    continue
                self._warnings.append(f"{where}: unknown parameter {show(original)} is sent as it is")
                name = str(original)
            if value is None:
                continue
            kind = FIELD_PARAMS.get(name)
            if kind is int and isinstance(value, str) and value.strip().isdecimal():
                value = int(value)  # what templates render to
            elif kind is bool and isinstance(value, str) and value.strip().lower() in ("true", "false"):
                value = value.strip().lower() == "true"
            refused.add(name)
            if kind is int and (isinstance(value, bool) or not isinstance(value, int)):
                self.refuse(f"{where}: {name} must be an integer, not {describe_value(value)}", malformed=False)
            elif kind is bool and not isinstance(value, bool):
                self.refuse(f"{where}: {name} must be true or false, not {describe_value(value)}", malformed=False)
            else:
                params[name] = value
                refused.discard(name)
        return params, refused

    def _function(self, raw: Any, number: int) -> FunctionSpec | None:
        where = f"functions[{number}]"
        if not isinstance(raw, Mapping):
            self.refuse(f"{where} must be a mapping, not {describe_value(raw)}")
            return None
        given = self._rename(raw, FUNCTION_KEYS, where, ignored=("id",))
        name = self._text(given.get("name"), f"{where}: name", required=True)
        kind = self._type(given.get("type"), f"{where}: type", FUNCTION_TYPES, required=True)
        inputs, outputs = (
            self._names(given.get(key), f"{where}: {key}") for key in ("inputFieldNames", "outputFieldNames")
        )
        params = _from_pairs(given.get("params") or {})
        if not isinstance(params, Mapping):
            self.refuse(f"{where}: params must be a mapping, not {describe_value(params)}", malformed=False)
            params = {}
        if not name or not kind:
            return None
        return FunctionSpec(name, kind, inputs, outputs, dict(params), str(given.get("description") or ""))

    def _names(self, value: Any, where: str) -> tuple[str, ...]:
        return tuple(map(str, self._list([value] if isinstance(value, str) else value, where)))

    def _list(self, value: Any, where: str) -> Sequence[Any]:
        if value is None:
            return []
        if isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence):
            self.refuse(f"{where} must be a list, not {describe_value(value)}", malformed=not is_later(value))
            return []
        return value

    def _text(self, value: Any, where: str, *, required: bool = False) -> str | None:
        if value is None or (isinstance(value, str) and not value.strip()):
            if required or value is not None:
                self.refuse(f"{where} is {'missing' if value is None else 'empty'}")
            return None
        if not isinstance(value, str):
            self.refuse(f"{where} must be a text, not {describe_value(value)}", malformed=False)
        elif has_template(value):
            self.refuse(f"{where} is {show(value)}: its template was not rendered", malformed=False)
        elif is_nothing(value):
            self.refuse(f"{where} is {value!r}, a missing value rendered to text")
        else:
            return value.strip()
        return None

    def _type(self, value: Any, where: str, known: Sequence[str], *, required: bool = False) -> str | None:
        if not isinstance(value, str) and hasattr(value, "name") and hasattr(value, "value"):
            value = value.name  # pymilvus's DataType and FunctionType
        if value is not None and where.endswith("elementDataType") and value in ("", "None", "NONE"):
            return None
        text = self._text(value, where, required=required)
        if text is None:
            return None
        alike = next((name for name in known if normalize_key(name) == normalize_key(text)), None)
        alike = alike or _PYMILVUS_TYPES.get(normalize_key(text))
        if alike is not None:
            return alike
        meant = near_miss(text, known)
        if meant and not self._allow_unknown:
            self.refuse(f"{where}: unknown type {show(text)}; did you mean {meant!r}? {SWITCH}", malformed=False)
            return None
        if where.endswith("elementDataType"):
            self.refuse(f"{where}: elements cannot be {text}{suggest(text, known)}", malformed=False)
            return None
        self._warnings.append(f"{where}: unknown type {show(text)} is sent as it is")
        return text

    def _flag(self, value: Any, where: str) -> bool:
        if isinstance(value, str) and value.strip().lower() in ("true", "false"):
            return value.strip().lower() == "true"
        if value is not None and not isinstance(value, bool):
            self.refuse(f"{where} must be true or false, not {describe_value(value)}", malformed=False)
        return value is True


#: Other names of types: pymilvus's, without underscores.
_PYMILVUS_TYPES = {"sparsevector": "SparseFloatVector", "string": "VarChar", "bfloat16vector": "BFloat16Vector"}
#: Words for parameters in other places, without underscores.
_MEANT = {"dimension": "dim", "dimensions": "dim", "length": "max_length", "capacity": "max_capacity"}
_PARAM_NAMES = {normalize_key(name): name for name in FIELD_PARAMS}


def _param_name(key: Any) -> str | None:
    return _PARAM_NAMES.get(normalize_key(str(key)).replace("mmapenabled", "mmap.enabled"))


def _from_pairs(raw: Any) -> Any:
    """Return parameters as a mapping where they are a list of pairs, as the server describes them."""
    if not isinstance(raw, list):
        return raw
    return {pair["key"]: pair.get("value") for pair in raw if isinstance(pair, Mapping) and "key" in pair}


def _plain_default(value: Any) -> Any:
    """Return a default value without what Milvus (``{"Data": {"LongData": 5}}``) or pymilvus wraps it into."""
    if hasattr(value, "WhichOneof"):
        return getattr(value, value.WhichOneof("data"), None)
    data = value.get("Data") if isinstance(value, Mapping) and set(value) == {"Data"} else None
    return next(iter(data.values()), None) if isinstance(data, Mapping) else value
