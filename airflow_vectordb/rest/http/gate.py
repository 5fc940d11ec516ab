"""Limits the concurrent calls of an event loop to a server."""

from __future__ import annotations

import asyncio
import time
from collections import deque

from airflow_vectordb.rest.errors import ConnectError


class Gate:
    """
    Limits concurrent calls: to one while the server hangs.

    If a call has timed out, others are likely to do so too, and would occupy all connections meanwhile. So queued calls
    fail, and later ones are made one at a time until one is answered; meanwhile the others wait for its outcome.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._inside = 0
        self._hangs = False
        self._queue: deque[asyncio.Future[None]] = deque()

    def try_enter(self) -> bool:
        """Take a turn, which ends with :meth:`leave`, if there is one now; return whether there is."""
        if self._inside >= (1 if self._hangs else self._width):
            return False
        self._inside += 1
        return True

    async def enter(self, until: float | None) -> None:
        """Wait for a turn, until a time by ``time.monotonic``; raise ConnectError if it does not come."""
        if self.try_enter():
            return
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._queue.append(turn)
        alarm = None if until is None else loop.call_later(until - time.monotonic(), self._refuse, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.leave(None)  # granted at the same moment
            raise
        finally:
            if alarm is not None:
                alarm.cancel()

    def leave(self, answered: bool | None) -> None:
        """
        End a turn, and let the next one begin.

        :param answered: whether the server did anything in the time that a call gets; None: it did not get that time
        """
        self._inside -= 1
        if answered is not None:
            self._hangs = not answered
        if answered is False:
            while self._queue:
                self._refuse(self._queue.popleft())
        while self._queue and self.try_enter():
            turn = self._queue.popleft()
            if turn.done():
                self._inside -= 1
            else:
                turn.set_result(None)

    def _refuse(self, turn: asyncio.Future[None]) -> None:
        if not turn.done():
            why = f"the deadline came before any of {self._width} connections was free"
            if self._hangs:
                why = "the server hangs: a call before this one got no answer"
            turn.set_exception(ConnectError(why))
