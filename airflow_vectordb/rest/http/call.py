"""A request to Milvus, and the parsing of its answer."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

T_co = TypeVar("T_co", covariant=True)
_PACKAGE = __name__.partition(".")[0] + "."
_REST = f"{_PACKAGE}rest."
_LARGE = 1_000_000


class Answer(NamedTuple):
    """
    A successful answer.

    :param data: what stands under ``data``; None when nothing does
    :param envelope: the whole object, for the few calls that answer beside ``data``
    """

    data: Any
    envelope: Mapping[str, Any]


@dataclass(frozen=True)
class Call(Generic[T_co]):
    """
    A request, which does nothing until it is sent. Dropping it unsent logs a ``RuntimeWarning``.

    :param path: resource and action, as ``indexes/create``
    :param body: the JSON object to send, without ``dbName`` unless the call names a database of its own
    :param read: makes the result of a successful answer; raises ValueError, KeyError or TypeError if the answer is
        not of the shape that Milvus gives
    :param idempotent: whether making the call twice has the effect of making it once. Such a call is repeated on
        every transient error; others only if they certainly had no effect.
    """

    path: str
    body: Mapping[str, Any]
    read: Callable[[Answer], T_co]
    idempotent: bool = True

    def __post_init__(self) -> None:
        frame = sys._getframe(2)
        while frame.f_back and _module_of(frame).startswith(_REST):
            frame = frame.f_back
        # This package's own generators may end before the call that they yield is sent.
        if not _module_of(frame).startswith(_PACKAGE):
            fields = vars(self)
            # Put away, so that :meth:`__getattr__` notices when they are first read: then the call is being sent.
            fields["_unsent"] = {name: fields.pop(name) for name in ("body", "read")}
            fields["_made_at"] = (frame.f_code.co_filename, frame.f_lineno)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            fields = vars(self)
            fields.update(fields.pop("_unsent", {}))
            if name not in fields:
                raise AttributeError(f"a call has no {name!r}")
            return fields[name]

    def __del__(self) -> None:
        if "_unsent" in vars(self) and not sys.is_finalizing():
            text = f"{self!r} was made and never sent, so it did nothing: `hook.send(…)` sends a call"
            warnings.warn_explicit(text, RuntimeWarning, *vars(self)["_made_at"])

    def serialize(self) -> Any:
        """Refuse to be serialized as an XCom, since a task that returns a call meant its result."""
        self.body  # noqa: B018 - this says it; the warning would say it again
        raise TypeError(f"{self.path} was returned and never sent, so it did nothing: return `hook.send(…)` of it")

    def __repr__(self) -> str:
        # Without the body, which may contain a password or many rows.
        return f"Call({self.path!r}, {self.target()!r})"

    @property
    def has_rows(self) -> bool:
        """Whether the answer contains rows, the caller's data, rather than the server's text."""
        return self.path.startswith("entities/")

    def target(self, database: str | None = None) -> str:
        """Describe the call's target for messages: ``index 'v' of collection 'docs' (database 'default')``."""
        body = self.body
        kinds = {"indexName": "index", "aliasName": "alias", "jobId": "import job", "collectionName": "collection"}
        name = " of ".join(f"{kind} {body[key]!r}" for key, kind in kinds.items() if body.get(key))
        database = body.get("dbName") or database
        if not name:
            return f"database {database!r}" if database else ""
        return f"{name} (database {database or 'default'!r})"

    def names(self, database: str | None = None) -> dict[str, str]:
        """Return the names in the call, by kind: ``{"collection": "docs", "database": "default"}``."""
        body = self.body
        indexes, partitions = body.get("indexParams") or [], body.get("partitionNames") or []
        found = {
            "database": body.get("dbName") or database or "default",
            "collection": body.get("collectionName"),
            "partition": body.get("partitionName") or (partitions[0] if len(partitions) == 1 else None),
            "index": body.get("indexName"),
            "alias": body.get("aliasName"),
            "field": indexes[0].get("fieldName") if len(indexes) == 1 else None,
        }
        return {kind: str(name) for kind, name in found.items() if name}


def _module_of(frame: FrameType) -> str:
    return frame.f_globals.get("__name__") or ""


def parse_none(answer: Answer) -> None:
    """Read an answer without data."""


def parse_names(answer: Answer) -> list[str]:
    """Read an answer that is a list of names; refuse a string, which would be read as a list of letters."""
    data = answer.data if answer.data is not None else []
    if not isinstance(data, list):
        raise TypeError(f"a list of names was expected, not {type(data).__name__}")
    return [str(name) for name in data]


def parse_name(key: str) -> Callable[[Answer], str]:
    """Return what reads an answer that has one name, or id, under a key; null, or an empty text, is none."""

    def read(answer: Answer) -> str:
        if (name := answer.data[key]) in (None, ""):
            raise ValueError(f"{key} is {name!r}")
        return str(name)

    return read


def build_body(database: str | None = None, /, **fields: Any) -> dict[str, Any]:
    """Build a request body, without what is None."""
    return {name: value for name, value in {**fields, "dbName": database}.items() if value is not None}


def property_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return properties with large integers as strings.

    Milvus parses numbers as floats: it would store 2592000 as ``2.592e+06``, and later expect an integer.
    """
    return {key: str(value) if type(value) is int and abs(value) >= _LARGE else value for key, value in values.items()}


__all__ = ["Answer", "Call", "build_body", "parse_name", "parse_names", "parse_none", "property_values"]
