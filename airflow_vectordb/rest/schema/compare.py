"""How a collection that exists differs from the one that is asked for, and what of that can be altered in place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from airflow_vectordb.rest import collections, fields
from airflow_vectordb.rest.collections import Collection
from airflow_vectordb.rest.http.call import Call
from airflow_vectordb.rest.schema.parsing import read_schema
from airflow_vectordb.rest.schema.properties import SETTINGS
from airflow_vectordb.rest.schema.rules import sizes
from airflow_vectordb.rest.schema.spec import FieldSpec, SchemaSpec, is_vector
from airflow_vectordb.rest.text import sanitize_text
from airflow_vectordb.rest.values import format_value, values_equal

#: Parameters of a field that can be altered, if they become larger.
_GROWING = ("max_length", "max_capacity")


@dataclass(frozen=True)
class Difference:
    """
    One thing that differs.

    :param text: as ``title: VarChar(256) -> VarChar(512)``: what is there -> what is asked for
    :param alter: makes the call that alters it in place; None: there is none
    :param unset: whether it is a property that is not set
    """

    text: str
    alter: Callable[[], Call[None]] | None = None
    unset: bool = False

    def __str__(self) -> str:
        return sanitize_text(self.text, 300)


def compare(
    name: str, spec: SchemaSpec, existing: Collection, properties: Mapping[str, Any] | None = None
) -> list[Difference]:
    """
    Compare a collection that exists with what is asked for.

    What the server's description does not mention is not compared, nor are texts for people, nor properties that are
    not asked for: servers add some of their own.

    :return: what differs; empty: it is the same
    """
    raw = existing.raw
    found = {str(item["name"]): item for item in raw.get("fields") or ()}
    there = {field.name: field for field in _fields(raw)}
    differences: list[Difference] = []
    for field in spec.fields:
        if field.name not in there:
            differences.append(_missing(name, field))
        else:
            differences += _compare_field(name, field, there[field.name], found[field.name])
    asked = {field.name for field in spec.fields}
    differences += [
        Difference(f"{field.name}: {field} -> not there") for field in there.values() if not asked & {field.name}
    ]
    key: Mapping[str, Any] = next((item for item in found.values() if item.get("primaryKey")), {})
    flags = {
        "autoID": (key.get("autoId", raw.get("autoId")), spec.auto_id),
        "enableDynamicField": (raw.get("enableDynamicField"), spec.enable_dynamic_field),
    }
    for name_of_flag, (has, asked_for) in flags.items():
        if has is not None and bool(has) != asked_for:
            text = f"{name_of_flag}: {format_value(bool(has))} -> {format_value(asked_for)}"
            differences.append(Difference(text))
    differences += _compare_functions(spec, raw)
    differences += _compare_properties(name, raw, properties or {})
    return differences


def _fields(raw: Mapping[str, Any]) -> tuple[FieldSpec, ...]:
    """Read the fields of a description as a schema's."""
    parsed = read_schema(raw, allow_unknown=True).spec
    return parsed.fields if parsed is not None else ()


def _missing(name: str, field: FieldSpec) -> Difference:
    addable = field.nullable and not (is_vector(field.type) or field.is_primary or field.is_partition_key)
    alter = partial(fields.add, name, field.body()) if addable else None
    hint = "" if addable or is_vector(field.type) else " (only a nullable field can be added)"
    return Difference(f"{field.name}: not there -> {field}{', nullable' if field.nullable else ''}{hint}", alter)


def _compare_field(name: str, field: FieldSpec, there: FieldSpec, raw: Mapping[str, Any]) -> Iterator[Difference]:
    if str(field) != str(there):
        yield Difference(f"{field.name}: {there} -> {field}", _growth(name, field, there))
    for attribute, key, words in (
        ("is_primary", "primaryKey", "primary key"),
        ("is_partition_key", "partitionKey", "partition key"),
        ("is_clustering_key", "clusteringKey", "clustering key"),
        ("nullable", "nullable", "nullable"),
    ):
        asked, has = getattr(field, attribute), getattr(there, attribute)
        if key in raw and asked != has:
            yield Difference(f"{field.name}: {'' if has else 'not '}{words} -> {'' if asked else 'not '}{words}")
    if field.default is not None and "defaultValue" in raw and not values_equal(field.default, there.default):
        yield Difference(f"{field.name}: default {format_value(there.default)} -> {format_value(field.default)}")
    shown = ("dim", *_GROWING)
    for key, value in field.params.items():
        if key in shown or (key in there.params and values_equal(value, there.params[key])):
            continue
        has = there.params.get(key)
        if key == "mmap.enabled":
            alter = partial(fields.alter_properties, name, field.name, {key: value})
            yield Difference(f"{field.name}: {key} {_known(has)} -> {format_value(value)}", alter)
        elif has is not None:
            yield Difference(f"{field.name}: {key} {format_value(has)} -> {format_value(value)}")


def _growth(name: str, field: FieldSpec, there: FieldSpec) -> Callable[[], Call[None]] | None:
    """Return what makes the call that makes a field's values larger; None if it is more than that."""
    if (field.type, field.element_type) != (there.type, there.element_type) or is_vector(field.type):
        return None
    before, after = sizes(there.params), sizes(field.params)
    changed = {key: after[key] for key in _GROWING if key in after and after[key] != before.get(key)}
    if any(value < before.get(key, value) for key, value in changed.items()):
        return None
    return partial(fields.alter_properties, name, field.name, changed) if changed else None


def _compare_functions(spec: SchemaSpec, raw: Mapping[str, Any]) -> Iterable[Difference]:
    if raw.get("functions") is None:
        return
    there = {str(item.get("name")): item for item in raw["functions"]}
    for function in spec.functions:
        item = there.pop(function.name, None)
        if item is None:
            yield Difference(f"function {function.name}: not there -> {function.type}")
            continue
        facts = {
            "type": (str(item.get("type")), function.type),
            "inputFieldNames": (_names(item, "inputField"), ", ".join(function.inputs)),
            "outputFieldNames": (_names(item, "outputField"), ", ".join(function.outputs)),
        }
        for key, (has, asked) in facts.items():
            if has.casefold() != asked.casefold():
                yield Difference(f"function {function.name}: {key} {has} -> {asked}")
    for name, item in there.items():
        yield Difference(f"function {name}: {item.get('type')} -> not there")


def _names(item: Mapping[str, Any], prefix: str) -> str:
    return ", ".join(map(str, item.get(f"{prefix}Names") or item.get(f"{prefix}s") or ()))


def _compare_properties(name: str, raw: Mapping[str, Any], asked: Mapping[str, Any]) -> Iterable[Difference]:
    for key in SETTINGS:
        if key in asked and key in raw and not values_equal(raw[key], value := asked[key]):
            yield Difference(f"{key}: {format_value(raw[key])} -> {format_value(value)}")
    there = {str(pair["key"]): pair.get("value") for pair in raw.get("properties") or ()}
    for key, value in asked.items():
        if key in SETTINGS:
            continue
        if key not in there or not values_equal(there[key], value):
            alter = partial(collections.alter_properties, name, {key: value})
            yield Difference(f"{key}: {_known(there.get(key))} -> {format_value(value)}", alter, key not in there)


def _known(value: Any) -> str:
    return "not set" if value is None else format_value(value)
