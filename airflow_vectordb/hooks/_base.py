"""What the hook's methods are made of: sending calls, and waiting."""

from __future__ import annotations

import time
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_vectordb import waiting

if TYPE_CHECKING:
    from airflow_vectordb.rest.http.call import Call
    from airflow_vectordb.waiting import Condition, Deadline

T = TypeVar("T")

#: Seconds that ``load``, ``release`` and ``create_index`` of the hook wait at most.
DEFAULT_TIMEOUT = 3600.0
#: Seconds, the longest pause between two polls.
POLL_INTERVAL = 30.0


class HookBase:
    """Base of the groups of methods that :class:`~airflow_vectordb.hooks.milvus.MilvusHook` has."""

    @abstractmethod
    def send(self, call: Call[T], *, retries: int | None = None) -> T:
        """Make a call."""

    @abstractmethod
    def wait(self, condition: Condition, deadline: Deadline, *, poll_interval: float) -> Any:
        """Wait until something is done."""

    def _wait_for(self, condition: Condition, timeout: float) -> Any:
        deadline = waiting.Deadline(time.time() + timeout, "timeout", timeout)
        return self.wait(condition, deadline, poll_interval=POLL_INTERVAL)
