"""Locks that many may share or one may hold, by name.

Milvus Lite takes one writer per collection at a time; readers may be many, but not beside a writer that swaps what they
read. A waiting writer goes before readers that come later, so that a stream of searches cannot starve it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack, contextmanager
from weakref import WeakValueDictionary

from airflow_vectordb.local.engine.caller import remaining
from airflow_vectordb.local.errors import time_out


class _SharedLock:
    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._readers = 0
        self._writing = False
        self._writers_waiting = 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        with self._condition:
            self._wait(lambda: not self._writing and not self._writers_waiting)
            self._readers += 1
        try:
            yield
        finally:
            with self._condition:
                self._readers -= 1
                self._condition.notify_all()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        with self._condition:
            self._writers_waiting += 1
            try:
                self._wait(lambda: not self._writing and not self._readers)
            finally:
                self._writers_waiting -= 1
                self._condition.notify_all()
            self._writing = True
        try:
            yield
        finally:
            with self._condition:
                self._writing = False
                self._condition.notify_all()

    def _wait(self, free: Callable[[], bool]) -> None:
        left = remaining()
        timeout = None if left == float("inf") else left
        if not self._condition.wait_for(free, timeout):
            raise time_out()


class Locks:
    """A shared lock for each key, made at its first use and forgotten when it is not held.

    Waiting ends with the caller's deadline (:data:`~airflow_vectordb.local.engine.caller.DEADLINE`) as a time-out.
    """

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[Hashable, _SharedLock] = WeakValueDictionary()
        self._guard = threading.Lock()

    def _lock(self, key: Hashable) -> _SharedLock:
        with self._guard:
            lock = self._locks.get(key)
            if lock is None:
                lock = self._locks[key] = _SharedLock()
            return lock

    @contextmanager
    def shared(self, key: Hashable) -> Iterator[None]:
        """Hold ``key`` together with other readers."""
        with self._lock(key).shared():
            yield

    @contextmanager
    def exclusive(self, *keys: Hashable) -> Iterator[None]:
        """Hold all ``keys`` alone; taken in one order everywhere, so that two callers never wait for each other."""
        with ExitStack() as stack:
            for key in sorted(set(keys), key=repr):
                stack.enter_context(self._lock(key).exclusive())
            yield
