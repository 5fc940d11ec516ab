"""Time limits of the requests in an event loop, with one timer for all of them.

aiohttp sets a timer for each request, sorts it into those of thousands of waits, and cancels it a moment later, when
the answer arrives.
"""

from __future__ import annotations

import asyncio
import sys
from types import TracebackType
from typing import Any


class Timeouts:
    """The running time limits. When one ends, the timer stays, since the next one will need it."""

    def __init__(self) -> None:
        self.running: set[TimeLimit] = set()
        self.timer: asyncio.TimerHandle | None = None

    def set_timer(self, when: float) -> None:
        """Check the limits at a time, by the event loop's clock."""
        self.close()
        self.timer = asyncio.get_running_loop().call_at(when, self._check)

    def close(self) -> None:
        """Stop the timer."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _check(self) -> None:
        self.timer = None
        now = asyncio.get_running_loop().time()
        for limit in [limit for limit in self.running if limit.end <= now]:
            self.running.discard(limit)
            limit.expire()
        if self.running:
            self.set_timer(min(limit.end for limit in self.running))


class TimeLimit:
    """
    A ``with`` block that is cancelled after some time, and raises ``asyncio.TimeoutError`` then.

    :param timeouts: the timer
    :param seconds: how long the block may take
    """

    def __init__(self, timeouts: Timeouts, seconds: float) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task: asyncio.Task[Any] = task
        self._timeouts = timeouts
        self._expired = False
        self._cancelled_before = task.cancelling() if sys.version_info >= (3, 11) else 0
        self.end = asyncio.get_running_loop().time() + seconds

    def expire(self) -> None:
        """Cancel what is within the block."""
        self._expired = True
        self._task.cancel()

    def __enter__(self) -> None:
        timeouts = self._timeouts
        timeouts.running.add(self)
        if timeouts.timer is None or self.end < timeouts.timer.when():
            timeouts.set_timer(self.end)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timeouts.running.discard(self)
        if not self._expired:
            return
        # As asyncio.timeout does: if the task was also cancelled from elsewhere, it stays cancelled.
        if sys.version_info >= (3, 11) and self._task.uncancel() > self._cancelled_before:
            return
        if kind is asyncio.CancelledError:
            raise asyncio.TimeoutError from error
