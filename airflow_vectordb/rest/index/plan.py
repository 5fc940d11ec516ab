"""What has to be done so that the indexes that are asked for are there: decided without I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from airflow_vectordb.rest import indexes
from airflow_vectordb.rest.collections import Collection
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
from airflow_vectordb.rest.http.call import Call
from airflow_vectordb.rest.index.spec import AUTOINDEX, Comparison, IndexSpec, index_place
from airflow_vectordb.rest.indexes import IndexDescription
from airflow_vectordb.rest.spelling import suggest
from airflow_vectordb.rest.text import sanitize_text

ARROW = "(What is there -> what is asked for.)"


@dataclass(frozen=True)
class IndexPlan:
    """
    How to get from what is there to what is asked for.

    :param collection: name of the collection
    :param specs: what is asked for, in the user's order, each with the name that its index has or will have
    :param there: descriptions of those that are there already, surely the same, by name
    :param unverified: those that may be the same, by name: they are asked for anew, and the server decides
    :param to_drop: descriptions of those that have to be dropped first, and how they differ, by name
    """

    collection: str
    specs: tuple[IndexSpec, ...]
    there: dict[str, IndexDescription]
    unverified: dict[str, Comparison]
    to_drop: dict[str, tuple[IndexDescription, str]] = field(default_factory=dict)

    @property
    def to_create(self) -> list[IndexSpec]:
        """What the create call asks for."""
        return [spec for spec in self.specs if spec.name not in self.there]

    def create(self) -> Call[None] | None:
        """Make the one call that asks for all that is missing; None when nothing is."""
        return indexes.create(self.collection, self.to_create) if self.to_create else None

    def ask_again(self, existing: Sequence[IndexDescription]) -> Iterator[tuple[IndexDescription, list[Call[None]]]]:
        """
        Ask for the doubtful indexes one by one, when :meth:`create` has been refused.

        Milvus takes an index for the same if the text of its parameters is. A server that tells no parameters may so
        have the very index, made by a client that writes them otherwise; to be asked in its words is a no-op then.

        :param existing: all indexes of the collection
        :return: the description of each, and calls: if one of them is accepted, it is the same
        """
        for spec in self.to_create:
            if spec.name in self.unverified:
                description = next(d for d in existing if d.index_name == spec.name)
                calls = [indexes.create(self.collection, [spec])] if len(self.to_create) > 1 else []
                if spec.params and not description.params and not self.unverified[spec.name].substituted:
                    calls.append(indexes.create(self.collection, [spec], type_in_params=False))
                yield description, calls

    def confirmed(self, existing: Sequence[IndexDescription], refused: Iterable[str]) -> IndexPlan:
        """
        Take over what :meth:`ask_again` has brought to light.

        :param existing: all indexes of the collection
        :param refused: names of those that are not the same
        """
        same = {d.index_name: d for d in existing if d.index_name in self.unverified and d.index_name not in refused}
        unverified = {name: found for name, found in self.unverified.items() if name not in same}
        return replace(self, there={**self.there, **same}, unverified=unverified)

    def find(self, existing: Sequence[IndexDescription]) -> list[IndexDescription]:
        """
        Find the indexes that were asked for by what they are on: the server may have chosen their names.

        :param existing: all indexes of the collection
        :return: a description for each of :attr:`specs`, in their order
        :raises IndexNotFoundError: when one of them is not there
        """
        found = []
        for spec in self.specs:
            description = _on_same_place(spec, existing)
            if description is None:
                raise IndexNotFoundError(f"the server has no index on field {spec.field_name!r}, which it accepted")
            found.append(description)
        return found

    def named_as(self, found: Sequence[IndexDescription]) -> IndexPlan:
        """
        Take over the names that indexes have got.

        :param found: a description for each of :attr:`specs`, in their order
        """
        named = [replace(spec, index_name=d.index_name) for spec, d in zip(self.specs, found, strict=True)]
        return replace(self, specs=tuple(named))

    def explain(self, error: MilvusError, fields: Sequence[str] = ()) -> MilvusError:
        """
        Word the failure of the create call.

        :param error: what the server answered
        :param fields: names of the collection's fields
        :return: the error to raise: with the differences, if they are what the server refuses
        """
        if is_conflict(error):
            lines = [_differs(self.collection, name, found.unverifiable) for name, found in self.unverified.items()]
            mismatch = IndexMismatchError(
                error.message,
                code=error.code,
                where=error.where,
                cause=f"another index is there{': ' if lines else ''}{'; '.join(lines)}",
                hint=f"{REPLACE} {ARROW}" if lines else REPLACE,
            )
            mismatch.attempts = error.attempts
            return mismatch
        missing = [spec.field_name for spec in self.to_create if spec.field_name not in fields]
        if fields and missing and not error.transient and _NO_FIELD.search(error.message):
            # A collection with dynamic fields takes any name for a key of theirs, and misses something else then.
            guesses = (f"no field {name!r} in {self.collection}{suggest(name, fields)}" for name in missing)
            hint = "A dynamic key needs json_path and json_cast_type."
            error = error.with_context(cause="; ".join(guesses), hint=hint)
        if len(self.to_create) > 1 and not error.transient:
            done = "Those before it in the list may have been created; the next try finds them."
            error = error.with_context(hint=f"{error.hint} {done}".strip())
        return error

    def read_back(self, found: Sequence[IndexDescription], *, strict: bool) -> list[str]:
        """
        Check what was built against what was asked for.

        :param found: a description for each of :attr:`specs`, in their order
        :param strict: whether AUTOINDEX in place of another index type is an error
        :return: warnings, for people
        :raises IndexMismatchError: with everything that is not what was asked for
        """
        wrong: list[str] = []
        warnings: list[str] = []
        substituted = False
        for spec, description in zip(self.specs, found, strict=True):
            comparison = spec.compare(description)
            differences = comparison.differences
            if spec.index_type == AUTOINDEX:  # whatever the server chose is what was asked for
                differences = tuple(line for line in differences if not line.startswith("index_type:"))
            if differences:
                wrong.append(_differs(self.collection, spec.name, differences))
            elif comparison.substituted:
                substituted = strict
                text = f"{self.collection}/{spec.name}: AUTOINDEX in place of {spec.index_type}"
                (wrong if strict else warnings).append(text)
        if wrong:
            before, hint = "the server did not build this: ", f"Drop it, or ask for it. {ARROW}"
            if substituted:  # Zilliz Cloud does so with every vector index
                before, hint = "", "Ask for AUTOINDEX, or set strict=False."
            raise IndexMismatchError(before + "; ".join(wrong), hint=hint)
        return warnings


def is_conflict(error: MilvusError) -> bool:
    """
    Tell whether a server surely refused an index because there is another one, and for no other reason.

    :param error: what it answered to a create call
    """
    # The code has changed from release to release, the words hardly.
    words = ("distinct index", "multiple indexes on same field")
    return not error.transient and (isinstance(error, ConflictError) or any(w in error.message for w in words))


def is_in_use(error: MilvusError) -> bool:
    """
    Tell whether a server refused to drop an index because its collection is loaded, and for no other reason.

    :param error: what it answered to a drop call
    """
    refused = isinstance(error, BadRequestError | UnexpectedError | UnsupportedError) and not error.transient
    return refused and re.search(r"\b(loaded|release)\b", error.message, re.IGNORECASE) is not None


_NO_FIELD = re.compile(r"json index must specify|only supports? vector data type|non-exist field|field not found", re.I)
#: What to do about another index in place of the one that is asked for.
REPLACE = 'Set if_exists="replace", or drop it first.'


def resolve_all(specs: Iterable[IndexSpec], collection: Collection) -> list[IndexSpec]:
    """
    Resolve specs against their collection.

    :param specs: what is asked for
    :param collection: as the server describes it
    :raises InvalidParametersError: with everything that does not fit, in all of them
    """
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


def misfits(specs: Iterable[IndexSpec], collection: Collection) -> tuple[str, ...]:
    """
    Tell what :func:`resolve_all` would refuse.

    :param specs: what is asked for
    :param collection: as the server describes it
    """
    try:
        resolve_all(specs, collection)
    except InvalidParametersError as error:
        return error.problems
    return ()


def plan_indexes(
    collection: str,
    specs: Sequence[IndexSpec],
    existing: Sequence[IndexDescription],
    *,
    fail_on_same: bool = False,
    drop_others: bool = False,
) -> IndexPlan:
    """
    Compare what is asked for with what is there.

    :param collection: name of the collection
    :param specs: what is asked for, resolved
    :param existing: all indexes of the collection
    :param fail_on_same: whether an index that is there already is an error, even if it is the same
    :param drop_others: whether to drop an index that is in the way on its field, or whose build failed, rather than to
        fail
    :raises IndexMismatchError: when other indexes are in the way, with all of them
    """
    named: list[IndexSpec] = []
    there: dict[str, IndexDescription] = {}
    unverified: dict[str, Comparison] = {}
    to_drop: dict[str, tuple[IndexDescription, str]] = {}
    wrong: list[str] = []
    same: list[str] = []
    hint = REPLACE
    for spec in specs:
        description = _on_same_place(spec, existing)
        if description is None:
            taken = next((other for other in existing if spec.named and other.index_name == spec.name), None)
            if taken is not None:
                wrong.append(f"the name {spec.name!r} is taken by the index on field {taken.field_name!r}")
                hint = "Choose another indexName, or drop it first."
            named.append(spec)
            continue
        named.append(replace(spec, index_name=spec.index_name or description.index_name))
        comparison = _compare(spec, description)
        lines = comparison.differences + comparison.unverifiable
        if drop_others and description.state == "Failed":
            lines += (f"its build failed: {sanitize_text(description.fail_reason, 300) or 'no reason given'}",)
            to_drop[description.index_name] = (description, ", ".join(lines))
        elif drop_others and comparison.differences:
            to_drop[description.index_name] = (description, ", ".join(lines))
        elif comparison.differences:
            wrong.append(_differs(collection, description.index_name, lines))
        elif fail_on_same:
            same.append(f"{collection}/{sanitize_text(description.index_name, 255)} exists already")
        elif comparison.same:
            there[description.index_name] = description
        else:
            unverified[description.index_name] = comparison
    if wrong:
        raise IndexMismatchError(f"another index is there: {'; '.join(wrong + same)}", hint=f"{hint} {ARROW}")
    if same:
        raise IndexMismatchError("; ".join(same), hint='Set if_exists="skip" to keep it, or drop it first.')
    return IndexPlan(collection, tuple(named), there, unverified, to_drop)


def _on_same_place(spec: IndexSpec, existing: Sequence[IndexDescription]) -> IndexDescription | None:
    # A field has at most one index; a JSON field one for each path in it.
    candidates = [d for d in existing if index_place(d.field_name, d.params) == spec.place]
    return next((d for d in candidates if d.index_name == spec.name), candidates[0] if candidates else None)


def _compare(spec: IndexSpec, description: IndexDescription) -> Comparison:
    found = spec.compare(description)
    if spec.index_type != AUTOINDEX:
        return found
    # Some servers call it by the type that they chose. Whether it is that, or somebody's choice, only they know.
    of_type = tuple(line for line in found.differences if line.startswith("index_type:"))
    others = tuple(line for line in found.differences if line not in of_type)
    return Comparison(others, found.unverifiable + of_type, found.substituted)


def _differs(collection: str, name: str, lines: Sequence[str]) -> str:
    return f"{collection}/{sanitize_text(name, 255)}: {', '.join(lines)}"


__all__ = ["IndexPlan", "is_conflict", "misfits", "plan_indexes", "resolve_all"]
