"""Warn about calls that are created and never sent, since they silently do nothing: a ``RuntimeWarning``."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from opcode import opname
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

_PACKAGE = __package__.partition(".")[0]
#: How many functions may return an unsent call: the one that creates it, and its callers.
MAKERS = 4


class WarnsUnsent:
    """Base of :class:`~airflow_vectordb.rest.http.call.Call`: accessing ``body`` or ``read`` marks it as sent."""

    if TYPE_CHECKING:
        path: str
        body: Any
    else:

        def __getattr__(self, name: str) -> Any:
            if name not in ("body", "read") or "_unread" not in self.__dict__:
                raise AttributeError(f"a call has no {name!r}")
            self.__dict__.update(self.__dict__["_unread"])
            self.__dict__.pop("_unread", None)
            return self.__dict__[name]

    def __post_init__(self) -> None:
        line, makers = _made_by(sys._getframe(2))
        if makers:
            # Kept elsewhere until they are read, to detect calls that are dropped unsent.
            fields = self.__dict__
            fields["_unread"] = {name: fields.pop(name) for name in ("body", "read")}
            fields["_made_by"] = line, makers

    def __del__(self) -> None:
        unread = self.__dict__.get("_unread")
        if unread is None or sys.is_finalizing():
            return
        with suppress(AttributeError, KeyError, TypeError, ValueError):  # no frame, no mapping, or incomplete
            line, makers = self.__dict__["_made_by"]
            if _is_dropped(sys._getframe(1), makers):
                collection = unread["body"].get("collectionName")
                about = f" (collection {collection!r})" if collection else ""
                text = f"{self.path}{about} was made and never sent, so it did nothing: `hook.send(…)` sends a call"
                warnings.warn_explicit(text, RuntimeWarning, makers[0].co_filename, line)

    def serialize(self) -> Any:
        """Refuse to be serialized as an XCom, since a task that returns a call meant its result."""
        self.body  # noqa: B018 - this says it; the warning would say it again
        raise TypeError(f"{self.path} was returned and never sent, so it did nothing: return `hook.send(…)` of it")


def _made_by(frame: FrameType | None) -> tuple[int, tuple[CodeType, ...]]:
    """Return the line that creates a call, with the function and its callers; empty if this package created it."""
    while frame and _package_of(frame).startswith(f"{_PACKAGE}.rest"):  # only a diagnosis
        frame = frame.f_back
    line = frame.f_lineno if frame else 0
    if frame and _package_of(frame).partition(".")[0] == _PACKAGE:
        return line, ()  # the driver of this package's generators sends it, or has reported the reason
    makers: list[CodeType] = []
    while frame and len(makers) < MAKERS:
        makers.append(frame.f_code)
        frame = frame.f_back
    return line, tuple(makers)


def _package_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__package__"))


def _is_dropped(frame: FrameType, makers: Sequence[CodeType]) -> bool:
    """Return whether a call was dropped in a frame, rather than lost because of an exception."""
    if frame.f_code in makers:
        return frame.f_code is makers[0] or not _is_after_exception(frame)
    # It was passed to a function, which dropped it.
    return frame.f_back is not None and frame.f_back.f_code is makers[0]


def _is_after_exception(frame: FrameType) -> bool:
    """Return whether a frame is at the end of an ``except`` or ``with``, where the traceback is freed."""
    code, at = frame.f_code.co_code, frame.f_lasti
    last, before, first = (opname[code[at - back]] if at >= back else "" for back in (0, 2, 4))
    # The latter deletes the name of `except … as name`.
    return last == "POP_EXCEPT" or (first == "POP_EXCEPT" and before == "LOAD_CONST" and last.startswith("STORE_"))
