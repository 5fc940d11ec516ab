"""Who of many may call a server now."""

from __future__ import annotations

import asyncio
import time
from collections import deque

from airflow_vectordb.rest.errors import ConnectError


class Gate:
    """
    Lets so many calls to a server at once, and one alone while the server hangs.

    Of a server that left a call without an answer for all its time, others would get none either, and hold all
    connections meanwhile. So those that queue are turned away, and the next are made one at a time, until one is
    answered. Where one is being made, the others wait for what becomes of it.

    :param width: calls at once
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._inside = 0
        self._hangs = False
        self._queue: deque[asyncio.Future[None]] = deque()

    async def enter(self, until: float | None) -> None:
        """
        Wait for one's turn. Whoever has it calls :meth:`leave` in the end.

        :param until: when it is of no use any more, by ``time.monotonic``; None: never
        :raises ConnectError: when it does not come: nothing was sent
        """
        if self._open():
            self._inside += 1
            return
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._queue.append(turn)
        alarm = None if until is None else loop.call_later(until - time.monotonic(), self._refuse, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.leave(None)  # it came at the same moment
            raise
        finally:
            if alarm is not None:
                alarm.cancel()

    def leave(self, answered: bool | None) -> None:
        """
        Let the next one in.

        :param answered: whether the server did anything in the time that a call gets; None: it did not get that time
        """
        self._inside -= 1
        if answered is not None:
            self._hangs = not answered
        if answered is False:
            while self._queue:
                self._refuse(self._queue.popleft())
        while self._queue and self._open():
            turn = self._queue.popleft()
            if not turn.done():
                self._inside += 1
                turn.set_result(None)

    def _open(self) -> bool:
        return self._inside < (1 if self._hangs else self._width)

    def _refuse(self, turn: asyncio.Future[None]) -> None:
        if not turn.done():
            why = "the server hangs: a call before this one got no answer" if self._hangs else self._crowded()
            turn.set_exception(ConnectError(why))

    def _crowded(self) -> str:
        return f"the deadline came before any of {self._width} connections was free"


__all__ = ["Gate"]
