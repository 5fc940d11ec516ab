"""One request to Milvus, and how its answer is read."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from opcode import opname
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

T_co = TypeVar("T_co", covariant=True)

#: Bytes of an answer that describes or lists things: 65,536 names of collections, say.
MEDIUM_ANSWER = 32 * 1024 * 1024
#: Bytes of an answer with rows. Anything above is not an answer of Milvus's.
LARGE_ANSWER = 512 * 1024 * 1024
#: The same for calls that are made again and again while something is waited for: mostly a few hundred.
SMALL_ANSWERS = {
    "indexes/describe": 256 * 1024,
    "indexes/list": 256 * 1024,
    "collections/get_load_state": 256 * 1024,
    "collections/get_stats": 256 * 1024,
    "jobs/import/describe": 4 * 1024 * 1024,  # with an entry for each file
    "jobs/import/get_progress": 4 * 1024 * 1024,
}
#: Brackets in an answer to one of those calls. As many lists as there is room for would have Python's garbage collector
#: look through all that a process has, which takes longer than to read them.
MOST_PARTS = 20_000
_PARENT = __package__.partition(".")[0]
#: Functions that a call may come back through, unsent: the one that makes it, and those that have called that one.
MAKERS = 4


@dataclass(frozen=True)
class Answer:
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
    One request, which does nothing until it is sent. One that is dropped unsent is a ``RuntimeWarning``.

    :param path: resource and action, as ``indexes/create``
    :param body: the JSON object to send, without ``dbName`` unless the call names a database of its own
    :param read: makes the result of a successful answer; raises ValueError, KeyError or TypeError if the answer is
        not of the shape that Milvus gives
    :param idempotent: whether making the call twice has the effect of making it once. Such a call is repeated on
        every transient error; another one only if it surely had no effect.
    """

    path: str
    body: Mapping[str, Any]
    read: Callable[[Answer], T_co] = field(repr=False)
    idempotent: bool = True

    def __post_init__(self) -> None:
        # Until somebody reads them, they lie elsewhere: by that a call that is dropped unused is known.
        self.__dict__["_unread"] = {name: self.__dict__.pop(name) for name in ("body", "read")}, *_made_by()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name not in ("body", "read") or "_unread" not in self.__dict__:
                raise AttributeError(f"a call has no {name!r}")
            self.__dict__.update(self.__dict__["_unread"][0])
            self.__dict__.pop("_unread", None)
            return self.__dict__[name]

    def __del__(self) -> None:
        unread = self.__dict__.get("_unread")
        if unread is None or sys.is_finalizing():
            return
        with suppress(AttributeError, TypeError, ValueError):  # no frame, or no mapping
            fields, line, makers = unread
            if makers and _is_dropped(sys._getframe(1), makers):
                collection = fields["body"].get("collectionName")
                about = f" (collection {collection!r})" if collection else ""
                text = f"{self.path}{about} was made and never sent, so it did nothing: `hook.send(…)` sends a call"
                warnings.warn_explicit(text, RuntimeWarning, makers[0].co_filename, line)

    def serialize(self) -> Any:
        """Refuse to become an XCom, which Airflow asks for by this name: whoever returns a call meant its result."""
        self.body  # noqa: B018 - this says it; the warning would say it again
        raise TypeError(f"{self.path} was returned and never sent, so it did nothing: return `hook.send(…)` of it")

    @property
    def has_rows(self) -> bool:
        """Whether the answer has rows, which are the caller's own, and not the server's words."""
        return self.path.startswith("entities/")

    @property
    def largest_answer(self) -> int:
        """Bytes of an answer that are read at most, decompressed."""
        return LARGE_ANSWER if self.has_rows else SMALL_ANSWERS.get(self.path, MEDIUM_ANSWER)

    def has_room_for(self, body: bytes) -> bool:
        """
        Tell whether an answer has no more parts than one to this call can have.

        :param body: JSON
        """
        if len(body) <= MOST_PARTS or self.path not in SMALL_ANSWERS:
            return True
        return body.count(b"[") + body.count(b"{") <= MOST_PARTS

    def target(self, database: str | None = None) -> str:
        """
        Say what the call is about, for messages.

        :param database: the configured database
        :return: as ``index 'v' of collection 'docs' (database 'default')``
        """
        body = self.body
        collection = body.get("collectionName")
        name = f"collection {collection!r}" if collection else ""
        if index := body.get("indexName"):
            name = f"index {index!r} of {name}"
        elif alias := body.get("aliasName"):
            name = f"alias {alias!r}" + (f" of {name}" if name else "")
        elif job := body.get("jobId"):
            name = f"import job {job!r}"
        database = body.get("dbName") or database
        if not name:
            return f"database {database!r}" if database else ""
        return f"{name} (database {database or 'default'!r})"

    def names(self, database: str | None = None) -> dict[str, str]:
        """
        Tell what the call names, for messages.

        :param database: the configured database
        :return: names by kind, as ``{"collection": "docs", "database": "default"}``
        """
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


def _made_by() -> tuple[int, tuple[CodeType, ...]]:
    """
    Find who is making a call: the line, and the code of the function and of those that have called it; of none, if it
    is this package itself.
    """
    frame: FrameType | None = sys._getframe(3)
    # The functions of this package only help.
    while frame and str(frame.f_globals.get("__package__")).startswith("airflow_vectordb.rest"):
        frame = frame.f_back
    line = frame.f_lineno if frame else 0
    makers: list[CodeType] = []
    if frame and str(frame.f_globals.get("__package__")).partition(".")[0] == _PARENT:
        return line, ()  # what drives this package's generators sends it, or has been told why not
    while frame and len(makers) < MAKERS:
        makers.append(frame.f_code)
        frame = frame.f_back
    return line, tuple(makers)


def _is_dropped(frame: FrameType, makers: Sequence[CodeType]) -> bool:
    """
    Tell whether a call that ends has been dropped, and not lost to an exception on its way to be sent.

    :param frame: where it ends
    :param makers: as :func:`_made_by` found them
    """
    if frame.f_code in makers:
        return frame.f_code is makers[0] or not _is_after_exception(frame)
    # It was given to a function, which has dropped it.
    return frame.f_back is not None and frame.f_back.f_code is makers[0]


def _is_after_exception(frame: FrameType) -> bool:
    """Tell whether a frame is at the end of an ``except`` or ``with``, where the traceback goes with all it held."""
    code, at = frame.f_code.co_code, frame.f_lasti
    last, before, first = (opname[code[at - back]] if at >= back else "" for back in (0, 2, 4))
    # The latter is how Python deletes the name of `except … as name`.
    return last == "POP_EXCEPT" or (first == "POP_EXCEPT" and before == "LOAD_CONST" and last.startswith("STORE_"))


def parse_none(answer: Answer) -> None:
    """
    Read an answer that says no more than that it worked.

    :param answer: the server's
    """
    del answer


def parse_names(answer: Answer) -> list[str]:
    """
    Read an answer that is a list of names.

    :param answer: the server's
    :raises TypeError: when it is something else; a text, say, would be taken for a list of letters
    """
    data = answer.data if answer.data is not None else []
    if not isinstance(data, list):
        raise TypeError(f"a list of names was expected, not {type(data).__name__}")
    return [str(name) for name in data]


def build_body(database: str | None = None, /, **fields: Any) -> dict[str, Any]:
    """
    Put a request body together from what is given.

    :param database: goes into ``dbName`` unless None
    :param fields: the other fields; those that are None are left out
    """
    body = {name: value for name, value in fields.items() if value is not None}
    if database is not None:
        body["dbName"] = database
    return body


__all__ = [
    "LARGE_ANSWER",
    "MEDIUM_ANSWER",
    "MOST_PARTS",
    "SMALL_ANSWERS",
    "Answer",
    "Call",
    "build_body",
    "parse_names",
    "parse_none",
]
