"""Checks rows against the schema, and converts their values for the request."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_vectordb.ingest.source import Row, Source, Unreadable
from airflow_vectordb.ingest.values import FLOAT_VECTORS, Convert, converter, text_converter
from airflow_vectordb.rest.collections import Collection
from airflow_vectordb.rest.spelling import describe_value, near_miss, show, suggest

#: Columns of a pandas index without a name, as filtered frames have it: they are dropped unless a field is for them.
INDEXES = frozenset(f"__index_level_{level}__" for level in range(10))


@dataclass(frozen=True)
class FieldRule:
    """What a field accepts."""

    type: str
    #: Type of an array's elements.
    element: str
    convert: Convert
    #: Whether it may be null or missing.
    nullable: bool
    #: Numbers of its vectors; 0: it takes other things.
    floats: int


_DYNAMIC = FieldRule("JSON", "", converter("JSON"), nullable=True, floats=0)


class RowChecker:
    """
    Checks rows against a collection's schema.

    :param field_mapping: name in the source -> name of the field; None in place of one drops the column. A name like
        ``metadata.page`` is what the column ``metadata`` has under ``page``
    :param with_auto_ids: whether rows carry keys that the server would make otherwise (an upsert)
    :param is_text: whether values are text whatever their field's type is
    """

    def __init__(
        self,
        collection: Collection,
        field_mapping: Mapping[str, str | None] | None = None,
        *,
        with_auto_ids: bool = False,
        is_text: bool = False,
    ) -> None:
        self._mapping = dict(field_mapping or {})
        self._nested = [(name, name.split(".")) for name in self._mapping if "." in name]
        self._dynamic = collection.enable_dynamic_field
        self._is_text = is_text
        raw = {str(item.get("name")): item for item in collection.raw.get("fields") or ()}
        filled = {name for function in collection.functions for name in function.output_fields}
        self.rules: dict[str, FieldRule] = {}
        #: Fields that rows must not have, and why.
        self._forbidden: dict[str, str] = dict.fromkeys(filled, "a function of the collection fills it")
        self.key: str | None = None
        for field in collection.fields:
            described = raw.get(field.name, {})
            if field.is_primary:
                if described.get("autoId") and not with_auto_ids:
                    self._forbidden[field.name] = "the server generates the keys of this collection: leave it out"
                    continue
                self.key = field.name
            if field.name in filled or "[" in field.name:  # a field within an array of structs
                continue
            element = str(described.get("elementType") or described.get("elementDataType") or "")
            convert = converter(field.type, field.params, element)
            self.rules[field.name] = FieldRule(
                field.type,
                element,
                text_converter(field.type, convert) if is_text else convert,
                nullable=bool(described.get("nullable")) or described.get("defaultValue") is not None,
                floats=int(field.params.get("dim") or 0) if field.type in FLOAT_VECTORS else 0,
            )
        self._required = {name for name, rule in self.rules.items() if not rule.nullable}
        self._structs = {
            str(item.get("name"))
            for item in collection.raw.get("structArrayFields") or collection.raw.get("structFields") or ()
        }

    def problems_of_columns(self, columns: Sequence[str]) -> list[str]:
        """Return what makes each row of a source wrong, by the names of its columns."""
        nested = [name for name, path in self._nested if name not in columns and path[0] in columns]
        known = [*columns, *nested]
        names = [name for column in known if (name := self._mapping.get(column, column)) is not None]
        names = [name for name in names if name in self.rules or name not in INDEXES]
        # A wrong mapping causes both a missing and an unknown field, so report it first.
        problems = [
            f"field_mapping has {name!r}, but there is no such column{suggest(name, columns)}"
            for name in self._mapping
            if name not in known
        ]
        twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        problems += [f"{name}: several columns are for this field" for name in twice]
        problems += [text for name in names if (text := self._surplus(name))]
        return problems + self._absent(names)

    def problems_of_mapping(self) -> list[str]:
        """Return which targets of the mapping are not fields: as when it is the wrong way round."""
        return [
            f"field_mapping[{column!r}] is {name!r}, but the collection has no such field: it maps names in the source "
            f"to fields{suggest(name, self.rules)}"
            for column, name in self._mapping.items()
            if name is not None and name not in self._forbidden and self._surplus(name)
        ]

    def fitting(self, matrices: Mapping[str, Any]) -> frozenset[str]:
        """Return the columns of a block whose vectors need no conversion: checked together, in a tenth of the time."""
        return frozenset(
            column
            for column, matrix in matrices.items()
            if (rule := self.rules.get(self._mapping.get(column, column) or "")) and _all_fit(matrix, rule.floats)
        )

    def check(self, row: Row | Unreadable, fitting: Container[str] = ()) -> tuple[dict[str, Any], list[str]]:
        """Return a row as it is sent, and its problems. Columns that fit need no check any more."""
        if isinstance(row, Unreadable):
            return {}, [row.reason]
        out: dict[str, Any] = {}
        problems: list[str] = []
        mapping, rules = self._mapping, self.rules
        if self._nested:
            try:
                row = {**{name: _nested_value(row, path) for name, path in self._nested if name not in row}, **row}
            except ValueError as error:
                return {}, [str(error)]
        for column, value in row.items():
            name = mapping.get(column, column) if mapping else column
            if name is None:
                continue
            if mapping and out.get(name) is not None:
                if value is not None:
                    problems.append(f"{name}: several columns are for this field")
                continue
            if column in fitting:
                out[name] = value
                continue
            rule = rules.get(name)
            if rule is None:
                if name in INDEXES:
                    continue
                if text := self._surplus(name):
                    problems.append(text)
                    continue
                rule = _DYNAMIC
            if value is None and (self._is_text or rule is not _DYNAMIC):
                if not rule.nullable:
                    problems.append(f"{name}: null, but the field is not nullable")
                continue
            try:
                out[name] = rule.convert(value)
            except (ValueError, TypeError, ArithmeticError, RuntimeError) as error:  # of tensors, decimals, …
                problems.append(f"{name}: {error}")
        if problems or not out.keys() >= self._required:
            problems += self._absent([name for column in row if (name := mapping.get(column, column)) is not None])
        return out, problems

    def _surplus(self, name: Any) -> str | None:
        if not isinstance(name, str):
            return f"{show(name)}: names of fields are strings"
        if not name:
            return "a column has no name; field_mapping={'': None} drops it"
        if name in self._forbidden:
            return f"{name}: {self._forbidden[name]}"
        if name in self.rules or self._dynamic or name in self._structs:
            return None
        return f"{name}: the collection has neither this field nor dynamic fields{suggest(name, self.rules)}"

    def _absent(self, present: Sequence[str]) -> list[str]:
        """Return a problem for each field that is missing; a similar column may be meant for it."""
        others = [name for name in present if isinstance(name, str) and name not in self.rules]
        problems = []
        for name, rule in self.rules.items():
            if not rule.nullable and name not in present:
                near = near_miss(name, others)
                hint = f"; is it {near!r}? Then set field_mapping={{{near!r}: {name!r}}}" if near else ""
                problems.append(f"{name}: missing{hint}")
        return problems


def problems_of_sources(sources: Sequence[Source], checkers: Sequence[RowChecker]) -> list[str]:
    """Return what makes each row wrong, by the columns of sources, once for all sources that have it."""
    found: dict[str, list[str]] = {}
    for source, checker in zip(sources, checkers, strict=True):
        columns = source.columns()
        for problem in checker.problems_of_mapping() if columns is None else checker.problems_of_columns(columns):
            found.setdefault(problem, []).append(source.name)
    problems = []
    for problem, names in found.items():
        more = len(names) - 1
        others = f" and {more:,} more file{'s' if more > 1 else ''}" if more else ""
        problems.append(f"{names[0]}{others}: {problem}")
    return problems


def _nested_value(row: Any, path: Sequence[str]) -> Any:
    for depth, name in enumerate(path):
        if row is None:
            return None
        if not isinstance(row, Mapping):
            raise ValueError(f"{'.'.join(path[:depth])}: {describe_value(row)} has no {name!r}, it must be a mapping")
        row = row.get(name)
    return row


def _all_fit(matrix: Any, floats: int) -> bool:
    import numpy

    fits = matrix.shape[1] == floats and matrix.dtype == numpy.float32 and matrix.flags.c_contiguous
    return bool(fits and numpy.isfinite(matrix).all())
