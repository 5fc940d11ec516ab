"""A call that is made and never sent does nothing, silently: so it is a ``RuntimeWarning`` where it was made."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from opcode import opname
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

_PACKAGE = __package__.partition(".")[0]
#: Functions that a call may come back through, unsent: the one that makes it, and those that have called that one.
MAKERS = 4


class WarnsUnsent:
    """Base of :class:`~airflow_vectordb.rest.http.call.Call`: one whose ``body`` or ``read`` is read is being sent."""

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
            # Until they are read, they are kept elsewhere: that is how a call that is dropped unsent is known.
            fields = self.__dict__
            fields["_unread"] = {name: fields.pop(name) for name in ("body", "read")}
            fields["_made_by"] = line, makers

    def __del__(self) -> None:
        unread = self.__dict__.get("_unread")
        if unread is None or sys.is_finalizing():
            return
        with suppress(AttributeError, KeyError, TypeError, ValueError):  # no frame, no mapping, or not all made
            line, makers = self.__dict__["_made_by"]
            if _is_dropped(sys._getframe(1), makers):
                collection = unread["body"].get("collectionName")
                about = f" (collection {collection!r})" if collection else ""
                text = f"{self.path}{about} was made and never sent, so it did nothing: `hook.send(…)` sends a call"
                warnings.warn_explicit(text, RuntimeWarning, makers[0].co_filename, line)

    def serialize(self) -> Any:
        """Refuse to become an XCom, which Airflow asks for by this name: whoever returns a call meant its result."""
        self.body  # noqa: B018 - this says it; the warning would say it again
        raise TypeError(f"{self.path} was returned and never sent, so it did nothing: return `hook.send(…)` of it")


def _made_by(frame: FrameType | None) -> tuple[int, tuple[CodeType, ...]]:
    """Return the line that makes a call, and the function and its callers; none of them if it is this package."""
    while frame and _package_of(frame).startswith(f"{_PACKAGE}.rest"):  # which only helps
        frame = frame.f_back
    line = frame.f_lineno if frame else 0
    if frame and _package_of(frame).partition(".")[0] == _PACKAGE:
        return line, ()  # what drives this package's generators sends it, or has reported why not
    makers: list[CodeType] = []
    while frame and len(makers) < MAKERS:
        makers.append(frame.f_code)
        frame = frame.f_back
    return line, tuple(makers)


def _package_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__package__"))


def _is_dropped(frame: FrameType, makers: Sequence[CodeType]) -> bool:
    """Return whether a call that ends in a frame was dropped, and not lost to an exception on its way to be sent."""
    if frame.f_code in makers:
        return frame.f_code is makers[0] or not _is_after_exception(frame)
    # It was given to a function, which has dropped it.
    return frame.f_back is not None and frame.f_back.f_code is makers[0]


def _is_after_exception(frame: FrameType) -> bool:
    """Return whether a frame is at the end of an ``except`` or ``with``, where the traceback goes with all it held."""
    code, at = frame.f_code.co_code, frame.f_lasti
    last, before, first = (opname[code[at - back]] if at >= back else "" for back in (0, 2, 4))
    # The latter is how Python deletes the name of `except … as name`.
    return last == "POP_EXCEPT" or (first == "POP_EXCEPT" and before == "LOAD_CONST" and last.startswith("STORE_"))
