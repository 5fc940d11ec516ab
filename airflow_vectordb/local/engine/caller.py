"""Properties of a caller besides the arguments of a call, passed to worker threads by the context."""

from __future__ import annotations

from contextvars import ContextVar
from time import monotonic

from airflow_vectordb.local.errors import time_out

DEADLINE: ContextVar[float] = ContextVar("deadline", default=float("inf"))
"""When the caller stops waiting, on the monotonic clock: engines must not queue for a lock beyond it."""

CREDENTIALS: ContextVar[bytes] = ContextVar("credentials", default=b"")
"""What the caller authenticates with (``user:password`` or a key), for engines that have users of their own."""

CONSISTENCY: ContextVar[str] = ContextVar("consistency", default="")
"""The consistency level that the caller asks for, empty for the collection's own; for engines that have several."""


def remaining() -> float:
    """Return the seconds until the caller stops waiting.

    :raises ApiError: 10001 when that moment has passed.
    """
    left = DEADLINE.get() - monotonic()
    if left <= 0:
        raise time_out()
    return left
