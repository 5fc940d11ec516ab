"""Plans what to do so that the requested indexes exist, without I/O."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from airflow_vectordb.rest.errors import (
    BadRequestError,
    ConflictError,
    IndexMismatchError,
    IndexNotFoundError,
    InvalidParametersError,
    MilvusError,
    UnexpectedError,
    UnsupportedError,
)
from airflow_vectordb.rest.index.description import IndexDescription
from airflow_vectordb.rest.index.spec import Comparison, IndexSpec, index_place
from airflow_vectordb.rest.text import sanitize_text

if TYPE_CHECKING:
    from airflow_vectordb.rest import collections

_ARROW = "(existing -> requested)"
#: Advice if another index exists in place of the requested one.
_REPLACE = 'Set if_exists="replace", or drop it first.'


@dataclass(frozen=True)
class IndexPlan:
    """
    How to get from the existing indexes to the requested ones.

    :param specs: what is asked for, in the user's order, each with the name that its index has or will have
    """

    collection: str
    specs: tuple[IndexSpec, ...]
    #: Those that exist, surely the same, by name.
    existing: dict[str, IndexDescription]
    #: Those that may be the same, and how they compare: they are asked for again, and the server decides.
    unverified: dict[str, tuple[IndexDescription, Comparison]]
    #: Those that have to be dropped first, and how they differ.
    to_drop: dict[str, tuple[IndexDescription, str]] = field(default_factory=dict)

    @property
    def to_create(self) -> list[IndexSpec]:
        """The indexes in the create call; empty if none is missing."""
        return [spec for spec in self.specs if spec.name not in self.existing]

    def unverified_requests(self) -> Iterator[tuple[IndexSpec, list[bool]]]:
        """
        Yield unverified indexes, with the values of ``type_in_params`` to request each with: one accepted is the same.

        Milvus compares the text of an index's parameters. A server that describes no parameters may have the same
        index, created by a client that writes them differently; a request in that spelling is then a no-op.
        """
        for spec in self.to_create:
            if spec.name in self.unverified:
                description, comparison = self.unverified[spec.name]
                ways = [True] if len(self.to_create) > 1 else []
                if spec.params and not description.params and not comparison.substituted:
                    ways.append(False)
                yield spec, ways

    def with_verified(self, refused: Collection[str]) -> IndexPlan:
        """Return the plan with the unverified indexes verified, but those of the names that were refused."""
        same = {name: description for name, (description, _) in self.unverified.items() if name not in refused}
        unverified = {name: found for name, found in self.unverified.items() if name in refused}
        return replace(self, existing={**self.existing, **same}, unverified=unverified)

    def find(self, described: Sequence[IndexDescription]) -> list[IndexDescription]:
        """
        Return the descriptions of :attr:`specs`, by their fields, since the server may have chosen their names.

        :raises IndexNotFoundError: when one of them does not exist
        """
        found = []
        for spec in self.specs:
            description = _at_same_place(spec, described)
            if description is None:
                raise IndexNotFoundError(f"the server has no index on field {spec.field_name!r}, which it accepted")
            found.append(description)
        return found

    def with_names(self, found: Sequence[IndexDescription]) -> IndexPlan:
        """Return the plan with the indexes' actual names."""
        named = [replace(spec, index_name=d.index_name) for spec, d in zip(self.specs, found, strict=True)]
        return replace(self, specs=tuple(named))

    def explain(self, error: MilvusError) -> MilvusError:
        """Return the create call's error to raise: with the differences, if they are what the server refuses."""
        if is_conflict(error):
            lines = [_differs(self.collection, name, one.unverifiable) for name, (_, one) in self.unverified.items()]
            mismatch = IndexMismatchError(
                error.message,
                code=error.code,
                where=error.where,
                cause=f"another index exists{': ' if lines else ''}{'; '.join(lines)}",
                hint=f"{_REPLACE} {_ARROW}" if lines else _REPLACE,
            )
            mismatch.attempts = error.attempts
            return mismatch
        if len(self.to_create) > 1 and not error.transient:
            done = "Those before it in the list may have been created; the next try finds them."
            error = error.with_context(hint=f"{error.hint} {done}".strip())
        return error

    def read_back(self, found: Sequence[IndexDescription], *, strict: bool) -> list[str]:
        """
        Compare the built indexes with the requested ones, and return warnings for people.

        :param strict: whether AUTOINDEX in place of another index type is an error
        :raises IndexMismatchError: with everything that is not what was asked for
        """
        different: list[str] = []
        substituted: list[str] = []
        for spec, description in zip(self.specs, found, strict=True):
            comparison = spec.compare(description)
            if comparison.differences:
                different.append(_differs(self.collection, spec.name, comparison.differences))
            elif comparison.substituted:
                substituted.append(f"{self.collection}/{spec.name}: AUTOINDEX in place of {spec.index_type}")
        if strict and substituted:  # as Zilliz Cloud does with every vector index
            raise IndexMismatchError("; ".join(different + substituted), hint="Ask for AUTOINDEX, or set strict=False.")
        if different:
            raise IndexMismatchError(
                f"the server did not build this: {'; '.join(different)}", hint=f"Drop it, or ask for it. {_ARROW}"
            )
        return substituted


def is_conflict(error: MilvusError) -> bool:
    """Return whether a server refused an index certainly because another one exists."""
    # The code has changed between releases, the message hardly.
    words = ("distinct index", "multiple indexes on same field")
    return not error.transient and (isinstance(error, ConflictError) or any(w in error.message for w in words))


def is_in_use(error: MilvusError) -> bool:
    """Return whether a server refused to drop an index certainly because its collection is loaded."""
    refused = isinstance(error, BadRequestError | UnexpectedError | UnsupportedError) and not error.transient
    return refused and re.search(r"\b(loaded|release)\b", error.message, re.IGNORECASE) is not None


def resolve_all(specs: Iterable[IndexSpec], collection: collections.Collection) -> list[IndexSpec]:
    """Resolve specs against the collection, or raise one error with everything that does not fit, in all of them."""
    resolved: list[IndexSpec] = []
    problems: list[str] = []
    for spec in specs:
        try:
            resolved.append(spec.resolve(collection))
        except InvalidParametersError as error:
            problems += error.problems
    if problems:
        raise InvalidParametersError(problems, "index parameters")
    return resolved


def plan_indexes(
    collection: str,
    specs: Sequence[IndexSpec],
    described: Sequence[IndexDescription],
    *,
    fail_on_same: bool = False,
    drop_others: bool = False,
) -> IndexPlan:
    """
    Compare the requested indexes with the existing ones.

    :param drop_others: whether to drop an index that is in the way on its field, or whose build failed, rather than to
        fail
    :raises IndexMismatchError: when other indexes are in the way, with all of them
    """
    named: list[IndexSpec] = []
    existing: dict[str, IndexDescription] = {}
    unverified: dict[str, tuple[IndexDescription, Comparison]] = {}
    to_drop: dict[str, tuple[IndexDescription, str]] = {}
    wrong: list[str] = []
    same: list[str] = []
    hint = _REPLACE
    for spec in specs:
        description = _at_same_place(spec, described)
        if description is None:
            named.append(spec)
            continue
        name = description.index_name
        named.append(replace(spec, index_name=spec.index_name or name))
        comparison = spec.compare(description)
        lines = comparison.differences + comparison.unverifiable
        failed = description.state == "Failed"
        if drop_others and (failed or comparison.differences):
            if failed:
                lines += (f"its build failed: {sanitize_text(description.fail_reason, 300) or 'no reason given'}",)
            to_drop[name] = (description, ", ".join(lines))
        elif comparison.differences:
            wrong.append(_differs(collection, name, lines))
        elif fail_on_same:
            same.append(f"{collection}/{sanitize_text(name, 255)} exists already")
        elif comparison.same:
            existing[name] = description
        else:
            unverified[name] = (description, comparison)
    for spec in named:
        for other in described:
            is_taken = spec.named and other.index_name == spec.name and spec.name not in to_drop
            if is_taken and _place(other) != spec.place:
                wrong.append(f"the name {spec.name!r} is taken by the index on field {other.field_name!r}")
                hint = "Choose another indexName, or drop it first."
    if wrong:
        raise IndexMismatchError(f"another index exists: {'; '.join(wrong + same)}", hint=f"{hint} {_ARROW}")
    if same:
        raise IndexMismatchError("; ".join(same), hint='Set if_exists="skip" to keep it, or drop it first.')
    return IndexPlan(collection, tuple(named), existing, unverified, to_drop)


def _at_same_place(spec: IndexSpec, described: Sequence[IndexDescription]) -> IndexDescription | None:
    # A field has at most one index; a JSON field one per path.
    candidates = [d for d in described if _place(d) == spec.place]
    return next((d for d in candidates if d.index_name == spec.name), candidates[0] if candidates else None)


def _place(description: IndexDescription) -> tuple[str, ...]:
    return index_place(description.field_name, description.params)


def _differs(collection: str, name: str, lines: Iterable[str]) -> str:
    return f"{collection}/{sanitize_text(name, 255)}: {', '.join(lines)}"
