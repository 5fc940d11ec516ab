"""Differences between an existing collection and a requested one, and which of them can be altered in place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from airflow_vectordb.rest import collections, fields
from airflow_vectordb.rest.collections import Collection
from airflow_vectordb.rest.http.call import Call
from airflow_vectordb.rest.http.response import misshapen
from airflow_vectordb.rest.schema.parsing import FIELD_KEYS, read_schema
from airflow_vectordb.rest.schema.properties import SETTINGS
from airflow_vectordb.rest.schema.spec import FLAGS, FieldSpec, FunctionSpec, SchemaSpec, is_vector
from airflow_vectordb.rest.spelling import normalize_key
from airflow_vectordb.rest.text import sanitize_text
from airflow_vectordb.rest.values import format_value, values_equal

#: Parameters of a field that can be altered, if they become larger.
_GROWING = ("max_length", "max_capacity")

T = TypeVar("T", FieldSpec, FunctionSpec)


@dataclass(frozen=True)
class Difference:
    """
    A difference: its text, as ``title: VarChar(256) -> VarChar(512)`` (existing -> requested).

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
    Compare an existing collection with a requested one; return what differs.

    Not compared: what the server's description lacks, descriptions for people, and properties that were not requested,
    since servers add some.
    """
    raw = existing.raw
    there = read_schema(raw, allow_unknown=True).spec or SchemaSpec(())
    found = {str(item["name"]): item for item in raw.get("fields") or ()}
    differences: list[Difference] = []
    pairs, surplus = _by_name(spec.fields, there.fields)
    for field, other in pairs:
        if other is None:
            differences.append(_missing(name, field))
        else:
            differences += _compare_field(name, field, other, found[field.name])
    differences += [Difference(f"{other.name}: {other} -> none") for other in surplus]
    keys = {key for item in (raw, *found.values()) if item is raw or item.get("primaryKey") for key in item}
    if "autoId" in keys:
        differences += _changed("autoID", there.auto_id, spec.auto_id)
    if "enableDynamicField" in raw:
        differences += _changed("enableDynamicField", there.enable_dynamic_field, spec.enable_dynamic_field)
    if raw.get("functions") is not None:
        differences += _compare_functions(spec, there)
    return [*differences, *_compare_properties(name, raw, properties or {})]


def _by_name(asked: Iterable[T], there: Iterable[T]) -> tuple[list[tuple[T, T | None]], list[T]]:
    """Return what is requested, each with what exists of the same name; and what only exists."""
    others: dict[str, T] = {one.name: one for one in there}
    return [(one, others.pop(one.name, None)) for one in asked], list(others.values())


def _changed(what: str, has: Any, asked: Any, alter: Callable[[], Call[None]] | None = None) -> Iterator[Difference]:
    if has is None or not values_equal(has, asked):
        shown = "not set" if has is None else format_value(has)
        yield Difference(f"{what}: {shown} -> {format_value(asked)}", alter)


def _missing(name: str, field: FieldSpec) -> Difference:
    addable = field.nullable and not (is_vector(field.type) or field.is_primary or field.is_partition_key)
    alter = partial(fields.add, name, field.body()) if addable else None
    hint = "" if addable or is_vector(field.type) else " (only a nullable field can be added)"
    return Difference(f"{field.name}: none -> {field}{', nullable' if field.nullable else ''}{hint}", alter)


def _compare_field(name: str, field: FieldSpec, there: FieldSpec, raw: Mapping[str, Any]) -> Iterator[Difference]:
    if str(field) != str(there):
        yield Difference(f"{field.name}: {there} -> {field}", _growth(name, field, there))
    described = {FIELD_KEYS.get(normalize_key(key)) for key in raw}
    for attribute, key in FLAGS.items():
        asked, has = getattr(field, attribute), getattr(there, attribute)
        words = attribute.removeprefix("is_").replace("_", " ")
        if key in described and asked != has:
            yield Difference(f"{field.name}: {'' if has else 'not '}{words} -> {'' if asked else 'not '}{words}")
    if field.default is not None and "defaultValue" in raw:
        yield from _changed(f"{field.name}: default", there.default, field.default)
    for key, value in field.params.items():
        if key == "mmap.enabled":
            alter = partial(fields.alter_properties, name, field.name, {key: value})
            yield from _changed(f"{field.name}: {key}", there.params.get(key), value, alter)
        elif key in there.params and key not in ("dim", *_GROWING):
            yield from _changed(f"{field.name}: {key}", there.params[key], value)


def _growth(name: str, field: FieldSpec, there: FieldSpec) -> Callable[[], Call[None]] | None:
    """Return a function that creates the call to enlarge a field's limits; None if other changes are needed."""
    if (field.type, field.element_type) != (there.type, there.element_type) or is_vector(field.type):
        return None
    sizes = {key: value for key, value in field.params.items() if key in _GROWING and value != there.params.get(key)}
    if not sizes or any(value < there.params.get(key, value) for key, value in sizes.items()):
        return None
    return partial(fields.alter_properties, name, field.name, sizes)


def _compare_functions(spec: SchemaSpec, there: SchemaSpec) -> Iterator[Difference]:
    pairs, surplus = _by_name(spec.functions, there.functions)
    for function, other in pairs:
        if other is None:
            yield Difference(f"function {function.name}: none -> {function.type}")
        else:
            for key in ("type", "inputFieldNames", "outputFieldNames"):
                yield from _changed(f"function {function.name}: {key}", other.body()[key], function.body()[key])
    for other in surplus:
        yield Difference(f"function {other.name}: {other.type} -> none")


def _compare_properties(name: str, raw: Mapping[str, Any], asked: Mapping[str, Any]) -> Iterator[Difference]:
    try:
        there = {str(pair["key"]): pair.get("value") for pair in raw.get("properties") or ()}
    except (KeyError, TypeError, AttributeError) as error:
        raise misshapen(f"properties: {error!r}") from None
    there |= {key: raw[key] for key in SETTINGS if key in raw}
    for key, value in asked.items():
        alter = None if key in SETTINGS else partial(collections.alter_properties, name, {key: value})
        if key in there or alter is not None:
            for difference in _changed(key, there.get(key), value, alter):
                yield replace(difference, unset=key not in there)
